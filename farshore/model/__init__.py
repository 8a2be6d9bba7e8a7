"""Values that every room of Farshore shares: positions, volumes, options, messages, headers, units.

Standard-library dataclasses only. Nothing here does I/O, reads a clock or draws a random
number, and nothing here imports any other room. Values are immutable once built.
"""
