"""Other people's programs on top of a replicated volume."""
