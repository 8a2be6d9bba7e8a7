"""A TCP port on loopback for what cannot be told to choose one itself."""

import socket


def free_port() -> int:
    """One that was free a moment ago; the system hands out others first before it comes to this one again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
