"""`HOST:PORT` as operators write it, and which address of this host others are likely to reach.

IPv6 hosts stand in brackets. Names are resolved by whoever connects, not here.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from farshore.config import DEFAULT_PORT
from farshore.errors import FarshoreError

# Addresses of the ranges kept for documentation: asking the kernel which of our addresses it would
# use to reach them sends nothing.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a TCP port (0 in a listening address: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def wildcard(self) -> bool:
        """True for an address that means every interface."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def loopback(self) -> bool:
        """True when only this host can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse(text: str) -> Address:
    """Raises FarshoreError `usage`."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare and bare == host) or not port.isascii() or not port.isdigit():
        raise _malformed(text)
    if int(port) > 65535 or any(character.isspace() for character in bare):
        raise _malformed(text)
    return Address(bare, int(port))


def _malformed(text: str) -> FarshoreError:
    return FarshoreError(
        "usage", f"{text!r} is not an address", next_step=f"write HOST:PORT, as in 192.0.2.7:{DEFAULT_PORT}"
    )


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
