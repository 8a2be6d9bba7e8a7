"""The engine's shell, each part on real descriptors: sockets, threads, files."""
