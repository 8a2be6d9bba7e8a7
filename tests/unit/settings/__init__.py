"""What can be set, and what is wrong with what was written."""
