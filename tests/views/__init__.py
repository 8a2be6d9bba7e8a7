"""Secondaries and snapshots that are read, and drills on them, between real nodes."""
