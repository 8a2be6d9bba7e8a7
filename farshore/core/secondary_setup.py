"""What a secondary starts from: what is durable, what it was told to be, and what its shell lends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from farshore.core.geometry import Geometry
from farshore.core.journaled import JournalImage
from farshore.core.journaling import JournalLimits
from farshore.core.preserve import PreserveImage
from farshore.core.scoreboard import BoardImage
from farshore.model import messages as m
from farshore.model.header import Header, Upstream
from farshore.model.options import LinkSpec, Timing
from farshore.model.positions import Position


@dataclass(frozen=True, slots=True)
class SecondarySetup:
    """What a secondary starts from. `durable` and `applied` are the position file's records."""

    header: Header
    geometry: Geometry
    durable: Position | None
    applied: Position | None
    """None when it was recorded under another boot id."""
    boot: str
    instance: bytes
    new_id: Callable[[], bytes]
    timing: Timing
    empty: bool = True
    journal: JournalImage = field(default_factory=JournalImage)
    limits: JournalLimits = field(default_factory=JournalLimits)
    links: tuple[LinkSpec, ...] = ()
    """Of this copy's own, the hops."""
    boards: Mapping[bytes, BoardImage] = field(default_factory=dict)
    residues: Mapping[bytes, m.Residue] = field(default_factory=dict)
    """What retired links tell of, by the copy at their far end."""
    turning: bool = False
    """This run only brings the copy to where it can be promoted: nobody is met, and its journal is of no use
    to the hops afterwards."""
    preserve: PreserveImage | None = None
    roll_back: bool = False
    """Be what the copy was before its open resync, if that has an undo (rule E3)."""
    upstream: Upstream | None = None
    """Whom it is to follow: where its epoch is above the header's, it was pointed elsewhere while no process
    ran (rule B8)."""
