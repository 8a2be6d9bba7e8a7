"""Addresses as operators write them, and which address of this host others are likely to reach."""

from __future__ import annotations

import socket

from farshore.model.addresses import Address, parse

__all__ = ["Address", "parse", "reachable", "seen_from"]

# Addresses of the ranges kept for documentation: asking the kernel which of our addresses it would
# use to reach them sends nothing.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def reachable(listening: Address) -> Address:
    """What to tell others: the address listened on, or for a wildcard the one towards the outside."""
    if not listening.wildcard:
        return listening
    for family, elsewhere in _ELSEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))
            except OSError:
                continue  # no route in that family; the host's name is left
            return Address(probe.getsockname()[0], listening.port)
    return Address(socket.gethostname(), listening.port)


def seen_from(listening: Address, source: str) -> Address:
    """The peer's address: what it listens on, or for a wildcard the host that its connection came from."""
    return Address(source.partition("%")[0], listening.port) if listening.wildcard else listening
