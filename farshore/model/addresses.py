"""`HOST:PORT` as operators write it. Pure.

IPv6 hosts stand in brackets. Names are resolved by whoever connects, not here.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from farshore.errors import FarshoreError


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
        "usage", f"{text!r} is not an address", next_step="write HOST:PORT, as in 192.0.2.7:7411"
    )
