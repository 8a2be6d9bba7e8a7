"""What we say to systemd and to its journal, in its own words and without a library of it.

Small enough to be loaded by every process of ours, the data path included: sockets that never block, and
nothing that must succeed. Where there is no systemd, nothing here does anything.
"""
