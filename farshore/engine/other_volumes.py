"""Rule D3 at a start: whether the volumes are those that the copy's header speaks of.

It is asked before anything is written, since everything that is decided about a copy rests on the position
that its header names. Where another file or device stands at a volume's path, that position is none of this
volume's: the copy does not start, until the right volume is back, or a plan has said that this one takes its
place. Then a secondary durably becomes one that holds nothing, which its feeder fills as a whole, and a
primary one that has failed: it serves and feeds nobody until a repair names that fault. Either is one header;
what follows from it is made true by the next start as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b

from farshore.core.fault_texts import paused_for
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig
from farshore.model.header import RENEWED, Fault, FaultKind, Header, OpenResync, VolumeIdentity
from farshore.model.layers import EVERY_LAYER
from farshore.model.options import ResyncKind, Role
from farshore.model.positions import History, Position
from farshore.store import position_file, volume_identity
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from farshore.store.volume import Volume


class OtherVolumes(FarshoreError):
    """`identity-changed`; `replaced` names exactly these volumes in the place of those, for a plan."""

    def __init__(self, config: CopyConfig, paths: list[str], replaced: str) -> None:
        super().__init__(
            "identity-changed",
            f"{' and '.join(paths)}: this is not the volume that the copy of {config.group_name} had",
            means="The engine did not start, and nothing was changed.",
            next_step="put the right file or device back, and it starts by itself; if it is lost, farshore"
            f" repair {config.group_name} --dry-run at this node shows what it means to go on with this one",
        )
        self.replaced = replaced


def look(directory: str, file: HeaderFile, volumes: Mapping[int, Volume], config: CopyConfig) -> None:
    """Raises OtherVolumes unless all are the copy's own, or the operator takes these instead."""
    try:
        _accept(file, volumes, config)
    except OtherVolumes:
        file.close()
        raise
    resync = file.header.resync
    if resync is not None and resync.id == RENEWED:
        position_file.renew(RealFiles(), directory, "")


def _accept(file: HeaderFile, volumes: Mapping[int, Volume], config: CopyConfig) -> None:
    header = file.header
    others = [
        each
        for each in header.identities
        if each.volume in volumes and not volume_identity.same(volumes[each.volume], each.text)
    ]
    if not others:
        return
    paths = [_shown(volumes[each.volume]) for each in others]
    told = [[each.text, volume_identity.told(volumes[each.volume])] for each in others]
    name = blake2b(repr((header.copy, header.role.value, told)).encode(), digest_size=8).hexdigest()
    if config.replaced != name:
        raise OtherVolumes(config, paths, name)
    changed = {each.volume: volumes[each.volume] for each in others}
    fresh = replace(header, identities=_joined(header, volumes, changed), broken_layers=(EVERY_LAYER,))
    file.write(_failed(fresh, paths) if header.role is Role.PRIMARY else emptied(fresh))


def _shown(volume: Volume) -> str:
    """Which one it is, and whether there is something on it that going on with it would overwrite."""
    holds = "reads as zeroes" if volume_identity.blank(volume) else "holds data"
    return f"{volume.path} ({holds})"


def record(file: HeaderFile, volumes: Mapping[int, Volume]) -> None:
    """What the volumes are known by, for the next starts: of those that are new, or were not looked at."""
    header = file.header
    known = {each.volume for each in header.identities}
    new = {number: volume for number, volume in volumes.items() if number not in known}
    identities = _joined(header, volumes, new)
    if identities != header.identities:
        file.write(replace(header, identities=identities))


def _joined(
    header: Header, volumes: Mapping[int, Volume], new: Mapping[int, Volume]
) -> tuple[VolumeIdentity, ...]:
    kept = [each for each in header.identities if each.volume in volumes and each.volume not in new]
    joined = [VolumeIdentity(number, volume_identity.join(volume)) for number, volume in new.items()]
    return tuple(sorted([*kept, *[each for each in joined if each.text]], key=lambda each: each.volume))


def lost(header: Header) -> bool:
    """Whether this primary has other volumes than those that it wrote, and nobody has repaired that."""
    return header.fault is not None and header.fault.kind is FaultKind.REPLACED


def _failed(header: Header, paths: list[str]) -> Header:
    """Its peers' content may be the better one: nothing is copied over it unasked (rules C3, D7)."""
    text = f"another volume has taken the place of the one that was known ({' and '.join(paths)})"
    fault = Fault(text, FaultKind.REPLACED)
    return replace(header, fault=fault, clean=False, links=paused_for(header.links, fault))


def emptied(header: Header) -> Header:
    """Of a secondary that holds nothing; its hops' scoreboards told of what is gone, and begin anew."""
    return replace(
        header,
        role=Role.SECONDARY,
        history=History(),
        ceiling=0,
        clean=True,
        links=(),
        resync=OpenResync(RENEWED, ResyncKind.FULL, Position(RENEWED, 0)),
        undo=b"",
        doubtful_until=0,
        highest_seen=0,
        journaling=False,
        fault=None,
        loose_until=0,
        fenced="",
        successor=None,
    )
