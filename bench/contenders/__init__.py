"""The programs that are measured, each behind the same three calls: start, stop, label."""
