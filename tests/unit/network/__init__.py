"""The line that tests use, tested."""
