"""The texts of faults, and what follows from them (rule C3): plain values, for both roles."""

from __future__ import annotations

import errno as errnos
from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from farshore.model.header import Header, LinkRecord

VOLUMES: Final = "the volumes cannot be made durable"
RECORDS: Final = "the copy's records cannot be written"


def named(what: str, errno: int) -> str:
    """The text of a fault."""
    return f"{what}: {errnos.errorcode.get(errno, errno)}"


def doubts_volumes(fault: str) -> bool:
    """Whether what was acknowledged may be missing in the volumes, as far as the fault tells."""
    return bool(fault) and not fault.startswith(RECORDS)


def paused_for(links: Iterable[LinkRecord], fault: str) -> tuple[LinkRecord, ...]:
    """These links, stopped until the operator looked at both copies."""
    return tuple(replace(each, paused=True, paused_for=fault) for each in links)


def fault_id(header: Header) -> str:
    """Names this fault of this run of the copy, in hex; empty while it is well."""
    if not header.fault:
        return ""
    head = header.history.head
    generation = head.generation if head is not None else b""
    return blake2b(generation + header.fault.encode(), digest_size=8).hexdigest()
