"""Devices: real device processes on real engines, with FUSE and loop devices of this kernel."""
