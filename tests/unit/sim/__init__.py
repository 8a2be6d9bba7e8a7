"""The simulator's own rooms: that they break what they say, and nothing else."""
