"""The simulator: nodes, lines, disks and time in one thread, replayable from one number.

It runs the core, wire and store that ship, breaks everything around them, and asks an oracle after each
step whether a rule was broken.
"""
