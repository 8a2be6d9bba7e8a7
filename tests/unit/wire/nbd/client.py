"""The client's side of a handshake, byte by byte, and a catalogue of two exports to talk to."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.constants import transmission_flags
from farshore.wire.nbd.export import ExportInfo
from farshore.wire.nbd.negotiation import Negotiation
from farshore.wire.nbd.outcome import Closed, Ready

FIXED = bytes.fromhex("00000003")  # fixed newstyle, no zeroes
HANDLE = object()
DATA = ExportInfo(
    name="data",
    size=1 << 30,
    transmission_flags=transmission_flags(read_only=False),
    description="orders",
    contexts=("base:allocation", "x-farshore:dirty-b", "x-farshore:dirty-c"),
    handle=HANDLE,
)
LOG = ExportInfo(
    name="log",
    size=4096,
    transmission_flags=transmission_flags(read_only=True),
    contexts=("base:allocation",),
)


@dataclass
class Exports:
    """A catalogue as the engine would offer it."""

    infos: tuple[ExportInfo, ...] = (DATA, LOG)

    def names(self) -> Sequence[str]:
        return [info.name for info in self.infos]

    def find(self, name: str) -> ExportInfo | None:
        if name == "" and len(self.infos) == 1:
            return self.infos[0]
        return next((info for info in self.infos if info.name == name), None)


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">I", len(data)) + data


def info_data(name: str | bytes, *items: int) -> bytes:
    return text(name) + struct.pack(f">H{len(items)}H", len(items), *items)


def context_data(name: str, *queries: str) -> bytes:
    return text(name) + struct.pack(">I", len(queries)) + b"".join(text(query) for query in queries)


def replies(sent: bytes) -> list[tuple[int, int, bytes]]:
    """(option, type, payload) of each option reply."""
    found = []
    while sent:
        magic, number, kind, length = struct.unpack_from(">QIII", sent)
        assert magic == 0x0003E889045565A9
        found.append((number, kind, sent[20 : 20 + length]))
        assert len(found[-1][2]) == length
        sent = sent[20 + length :]
    return found


def begun(exports: Exports | None = None, *, structured: bool = False) -> Negotiation:
    negotiation = Negotiation(exports or Exports())
    assert negotiation.feed(FIXED) == b""
    if structured:
        assert replies(negotiation.feed(option(nbd.NBD_OPT_STRUCTURED_REPLY))) == [(8, nbd.NBD_REP_ACK, b"")]
    return negotiation


def ready(negotiation: Negotiation) -> Ready:
    assert isinstance(negotiation.outcome, Ready)
    return negotiation.outcome


def closed(negotiation: Negotiation) -> str:
    assert isinstance(negotiation.outcome, Closed)
    return negotiation.outcome.reason


def only_error(sent: bytes) -> int:
    [(_, kind, message)] = replies(sent)
    assert kind & 1 << 31
    assert message.decode()
    return kind
