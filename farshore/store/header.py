"""The header of a copy on disk: canonical JSON in two alternating slots.

Encoding is a bijection: equal headers have equal bytes, and bytes that `encode` would not produce
for their content are damage. What the fields mean, and when they change, is decided by
`farshore.core`. Format: `docs/formats.md`.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from farshore.model.header import (
    HEADER_FORMAT,
    Fault,
    FaultKind,
    Header,
    LinkRecord,
    OpenResync,
    Successor,
    Upstream,
    VerifyRecord,
    VerifyState,
    VolumeIdentity,
    VolumeRoom,
)
from farshore.model.options import ResyncKind, Role
from farshore.model.positions import History, Position, Stretch
from farshore.store.platform import FileLayer
from farshore.store.slots import RecordKind, SlotFile, damaged, newer

NAME: Final = "header"
"""Of the file in a copy's directory."""
KIND: Final = RecordKind(b"FShrHead", 1)
_ROOM: Final = 16 << 10
"""Bytes of JSON that a new file has room for; it grows when a history or the links need more."""

_Json: TypeAlias = dict[str, Any]

_WITHOUT_TURNS: Final = 1
"""The format before roles could change; what it lacks, and what that means."""
_TURN: Final[_Json] = {"turn": "", "fenced": "", "loose_until": 0, "undo": ""}
_TURN_OF_LINK: Final[_Json] = {"unmet": False, "retired": False}


def encode(header: Header) -> bytes:
    """Canonical JSON: keys sorted, no blanks, ids in lowercase hex."""
    return _canonical(_put_header(header))


def _canonical(value: _Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _put_header(header: Header) -> _Json:
    value = _put_whole(header)
    if header.rooms:  # a header without any is what it was before volumes could grow
        value["rooms"] = [[each.volume, each.size, each.room] for each in header.rooms]
    if header.broken_layers:  # a header without any is what it was before a layer could break
        value["broken_layers"] = [layer.hex() for layer in header.broken_layers]
    if header.successor is not None:  # likewise before a fence knew whose it is
        value["successor"] = {"link": header.successor.link.hex(), "turn": header.successor.turn.hex()}
    if header.identities:  # a header without any is what it was before they were looked at
        value["identities"] = [[each.volume, each.text] for each in header.identities]
    return value


def _put_whole(header: Header) -> _Json:
    return {
        "format": HEADER_FORMAT,
        "group": header.group.hex(),
        "copy": header.copy.hex(),
        "role": header.role.value,
        "history": [[each.generation.hex(), each.last] for each in header.history.stretches],
        "ceiling": header.ceiling,
        "clean": header.clean,
        "boot": header.boot,
        "links": [_put_link(record) for record in header.links],
        "upstream": _put_upstream(header.upstream),
        "resync": _put_resync(header.resync),
        "undo": header.undo.hex(),
        "doubtful_until": header.doubtful_until,
        "highest_seen": header.highest_seen,
        "journaling": header.journaling,
        "fault": _put_fault(header.fault),
        "loose_until": header.loose_until,
        "turn": header.turn.hex(),
        "fenced": header.fenced,
    }


def decode(data: bytes, path: str) -> Header:
    """The inverse of `encode`; `path` is for the errors.

    Raises FarshoreError `state-newer` for a format that this version does not know, and
    `state-damaged` for anything else that is no header.
    """
    try:
        value = json.loads(data)
        known = isinstance(value, dict) and type(value["format"]) is int
        if known and value["format"] > HEADER_FORMAT:
            raise newer(path, value["format"], HEADER_FORMAT)
        first = value["format"] == _WITHOUT_TURNS
        header = _take_header(_upgraded(value) if first else value)
        written = _put_header(header)
        exact = _canonical(_downgraded(written) if first else written) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        raise damaged(path, f"the header cannot be read: {reason}") from reason
    if not exact:
        raise damaged(path, "the header is not in the one form that it is written in")
    return header


def _upgraded(value: _Json) -> _Json:
    """A header of the first format as one of ours."""
    links = [record | _TURN_OF_LINK for record in value["links"]]
    return value | _TURN | {"links": links, "format": HEADER_FORMAT}


def _downgraded(value: _Json) -> _Json:
    """The inverse of `_upgraded`: what the first format would have written."""
    kept = {name: each for name, each in value.items() if name not in _TURN}
    links = [
        {name: each for name, each in record.items() if name not in _TURN_OF_LINK}
        for record in value["links"]
    ]
    return kept | {"links": links, "format": _WITHOUT_TURNS}


def _put_position(value: Position | None) -> list[object] | None:
    return None if value is None else [value.generation.hex(), value.sequence]


def _put_resync(value: OpenResync | None) -> _Json | None:
    if value is None:
        return None
    return {"id": value.id.hex(), "kind": value.kind.value, "start": _put_position(value.start)}


def _put_upstream(value: Upstream | None) -> _Json | None:
    if value is None:
        return None
    return {"link": value.link.hex(), "epoch": value.epoch, "copy": _put_id(value.copy)}


def _put_id(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _put_verify(value: VerifyRecord) -> _Json:
    return {
        "state": value.state.value,
        "begun": float(value.begun),
        "volume": value.volume,
        "region": value.region,
        "halt": value.halt,
        "rate": value.rate,
        "ended": None if value.ended is None else float(value.ended),
        "at": _put_position(value.at),
        "found": value.found,
        "why": value.why,
    }


def _put_link(record: LinkRecord) -> _Json:
    value = {
        "link": record.link.hex(),
        "epoch": record.epoch,
        "peer_copy": _put_id(record.peer_copy),
        "open_resync": _put_resync(record.open_resync),
        "alone_since": _put_position(record.alone_since),
        "ever_replicated": record.ever_replicated,
        "paused": record.paused,
        "paused_for": record.paused_for,
        "stopped_at": _put_position(record.stopped_at),
        "once": record.once,
        "queue_whole": record.queue_whole,
        "unmet": record.unmet,
        "retired": record.retired,
        "stopped_time": None if record.stopped_time is None else float(record.stopped_time),
    }
    if record.verify is not None:  # a header without one is what it was before there was a verify
        value["verify"] = _put_verify(record.verify)
    return value


def _take_header(value: _Json) -> Header:
    return Header(
        group=_id(value["group"]),
        copy=_id(value["copy"]),
        role=Role(value["role"]),
        history=History(tuple([Stretch(_id(generation), _int(n)) for generation, n in value["history"]])),
        ceiling=_int(value["ceiling"]),
        clean=_bool(value["clean"]),
        boot=_str(value["boot"]),
        links=tuple([_take_link(record) for record in value["links"]]),
        upstream=_take_upstream(value["upstream"]),
        resync=_take_resync(value["resync"]),
        undo=_id(value["undo"]),
        doubtful_until=_int(value["doubtful_until"]),
        highest_seen=_int(value["highest_seen"]),
        journaling=_bool(value["journaling"]),
        fault=_take_fault(value["fault"]),
        loose_until=_int(value["loose_until"]),
        turn=_id(value["turn"]),
        fenced=_str(value["fenced"]),
        successor=_take_successor(value["successor"]) if "successor" in value else None,
        rooms=tuple([VolumeRoom(*map(_int, each)) for each in value.get("rooms", [])]),
        broken_layers=_take_broken(value["broken_layers"]) if "broken_layers" in value else (),
        identities=tuple([VolumeIdentity(_int(volume), _str(text)) for volume, text in value["identities"]])
        if "identities" in value
        else (),
        format=_int(value["format"]),
    )


def _take_successor(value: _Json) -> Successor:
    return Successor(_id(value["link"]), _id(value["turn"]))


def _put_fault(value: Fault | None) -> _Json | str:
    """Before faults had kinds there was but the text."""
    if value is None or value.kind is None:
        return "" if value is None else value.text
    return {"kind": value.kind.value, "text": value.text}


def _take_fault(value: _Json | str) -> Fault | None:
    if isinstance(value, str):
        return Fault(value, None) if value else None
    return Fault(_str(value["text"]), FaultKind(value["kind"]))


def _take_broken(value: list[str]) -> tuple[bytes, ...]:
    if not value:
        raise ValueError("there is no list of broken layers where none is")
    return tuple([_id(layer) for layer in value])


def _take_link(value: _Json) -> LinkRecord:
    return LinkRecord(
        link=_id(value["link"]),
        epoch=_int(value["epoch"]),
        peer_copy=_optional_id(value["peer_copy"]),
        open_resync=_take_resync(value["open_resync"]),
        alone_since=_take_position(value["alone_since"]),
        ever_replicated=_bool(value["ever_replicated"]),
        paused=_bool(value["paused"]),
        paused_for=_str(value["paused_for"]),
        stopped_at=_take_position(value["stopped_at"]),
        stopped_time=_optional_time(value["stopped_time"]),
        once=_bool(value["once"]),
        queue_whole=_bool(value["queue_whole"]),
        unmet=_bool(value["unmet"]),
        retired=_bool(value["retired"]),
        verify=_take_verify(value["verify"]) if "verify" in value else None,
    )


def _take_verify(value: _Json) -> VerifyRecord:
    begun = _optional_time(value["begun"])
    if begun is None:
        raise TypeError("a verify has begun")
    return VerifyRecord(
        state=VerifyState(value["state"]),
        begun=begun,
        volume=_int(value["volume"]),
        region=_int(value["region"]),
        halt=_bool(value["halt"]),
        rate=_int(value["rate"]),
        ended=_optional_time(value["ended"]),
        at=_take_position(value["at"]),
        found=_int(value["found"]),
        why=_str(value["why"]),
    )


def _take_upstream(value: _Json | None) -> Upstream | None:
    if value is None:
        return None
    return Upstream(_id(value["link"]), _int(value["epoch"]), _optional_id(value["copy"]))


def _take_resync(value: _Json | None) -> OpenResync | None:
    if value is None:
        return None
    start = _take_position(value["start"])
    if start is None:
        raise TypeError("a resync has a start")
    return OpenResync(_id(value["id"]), ResyncKind(value["kind"]), start)


def _take_position(value: list[Any] | None) -> Position | None:
    if value is None:
        return None
    generation, sequence = value
    return Position(_id(generation), _int(sequence))


def _id(value: str) -> bytes:
    return bytes.fromhex(_str(value))


def _optional_id(value: str | None) -> bytes | None:
    return None if value is None else _id(value)


def _int(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a count is a whole number from 0 on")
    return value


def _optional_time(value: object) -> float | None:
    if value is not None and type(value) is not float:
        raise TypeError("a time is a number")
    return value


def _bool(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError("a flag is true or false")
    return value


def _str(value: object) -> str:
    if type(value) is not str:
        raise TypeError("a text is a string")
    return value


class HeaderFile:
    """The header's file. `header` is what was read or last made durable."""

    __slots__ = ("_slots", "header")

    def __init__(self, slots: SlotFile, header: Header) -> None:
        """Use `create` or `open`."""
        self._slots = slots
        self.header = header

    @classmethod
    def create(cls, layer: FileLayer, path: str, header: Header) -> HeaderFile:
        """Makes the file; its name is durable once the caller has synced the directory."""
        return cls(SlotFile.create(layer, path, KIND, encode(header), _ROOM), header)

    @classmethod
    def open(cls, layer: FileLayer, path: str) -> HeaderFile:
        """Raises FarshoreError `state-damaged` or `state-newer`."""
        return cls(*SlotFile.decoded(layer, path, KIND, decode))

    def write(self, header: Header) -> None:
        """Replaces the header, durably. After an OSError it is the old or the new one."""
        self._slots.write(encode(header))
        self.header = header

    def close(self) -> None:
        """Ends the use of the file."""
        self._slots.close()
