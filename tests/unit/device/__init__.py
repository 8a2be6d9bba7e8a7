"""The device process, piece by piece, without a kernel."""
