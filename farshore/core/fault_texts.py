"""Faults, their texts, and what follows from them (rule C3): plain values, for both roles."""

from __future__ import annotations

import errno as errnos
from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from farshore.model.header import Fault, FaultKind, Header, LinkRecord

VOLUMES: Final = "the volumes cannot be made durable"
RECORDS: Final = "the copy's records cannot be written"


def named(what: str, errno: int) -> str:
    """The text of what has failed."""
    return f"{what}: {errnos.errorcode.get(errno, errno)}"


def fault_of(what: str, errno: int) -> Fault:
    """The fault of a disk that has failed in this."""
    return Fault(named(what, errno), FaultKind.RECORDS if what == RECORDS else FaultKind.VOLUMES)


def doubts_volumes(fault: Fault | None) -> bool:
    """Whether what was acknowledged may be missing in the volumes, as far as the fault tells."""
    if fault is None:
        return False
    if fault.kind is None:  # recorded before it was recorded with its kind
        return not fault.text.startswith(RECORDS)
    return fault.kind is not FaultKind.RECORDS


def paused_for(links: Iterable[LinkRecord], fault: Fault) -> tuple[LinkRecord, ...]:
    """These links, stopped until the operator looked at both copies."""
    return tuple(replace(each, paused=True, paused_for=fault.text) for each in links)


def fault_id(header: Header) -> str:
    """Names this fault of this run of the copy, in hex; empty while it is well."""
    if header.fault is None:
        return ""
    head = header.history.head
    generation = head.generation if head is not None else b""
    return blake2b(generation + header.fault.text.encode(), digest_size=8).hexdigest()
