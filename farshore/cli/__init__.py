"""The command line: each noun a file, each command a few lines over `farshore.client`.

Being quick to start is part of its job, so it loads click and the standard library, and rich only once
there is a terminal to draw on.
"""
