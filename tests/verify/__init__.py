"""Copies compared while they are written, with real nodes."""
