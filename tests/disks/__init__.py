"""Local failures: a disk that reports errors, at either side and at every file."""
