"""Snapshots of whole groups with real nodes."""
