"""Everything durable of one copy, opened: its volumes and the files of its directory.

A directory without a header is a new copy's, and is filled; one with a header must be whole. What is
found is what the core starts from. The lock on the directory and the claims on the volumes are held
until `close`, or until the process ends.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from farshore.core.broken_layers import broken_in
from farshore.core.fault_texts import VOLUMES, fault_id, named, paused_for
from farshore.core.geometry import Geometry
from farshore.core.residue import residue_of
from farshore.core.rewinding import marks
from farshore.engine import other_volumes
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig
from farshore.model.header import Fault, FaultKind, Header, LinkRecord, Upstream, VolumeRoom
from farshore.model.messages import Residue
from farshore.model.options import Role
from farshore.store import past_segments
from farshore.store.activity_log import ActivityLogFile
from farshore.store.claim import Longer, open_volume
from farshore.store.header import NAME as HEADER_NAME
from farshore.store.header import HeaderFile
from farshore.store.own_mounts import own_mounts
from farshore.store.past_segments import PastSegments
from farshore.store.platform import FileLayer, Lock, RealFiles
from farshore.store.position_file import PositionFile
from farshore.store.preserve import DIRECTORY, PreserveStore, default_limit
from farshore.store.scoreboard_file import ScoreboardFile
from farshore.store.segments import Segments
from farshore.store.volume import Volume

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
BLANK_READ_LIMIT: Final = 64 << 20
"""Bytes of data that are read to find out whether a blank copy's volumes hold nothing but zeroes."""


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path(_BOOT_ID).read_text(encoding="ascii").strip()


@dataclass(slots=True)
class StoredCopy:
    """See the module."""

    directory: str
    layer: FileLayer
    lock: Lock
    volumes: dict[int, Volume]
    geometry: Geometry
    boot: str
    header: HeaderFile
    fresh: bool
    """The copy was made just now."""
    activity: ActivityLogFile
    position: PositionFile | None
    """Of a secondary."""
    journal: Segments | None
    """Of a secondary."""
    preserve: PreserveStore | None
    """None where it cannot be used."""
    boards: dict[bytes, ScoreboardFile]
    queues: dict[bytes, Segments] = field(default_factory=dict)
    """Disk queues that a start has opened and that nobody has used yet."""
    residues: dict[bytes, Residue] = field(default_factory=dict)
    """Of a secondary that was primary: how it may differ from copies that it fed, by their ids."""

    names: dict[int, str] = field(default_factory=dict)
    """Of its volumes, as operators know them."""
    preserve_unusable: str = ""
    """Why the copy has to do without its preserve store."""

    def board_path(self, link: bytes) -> str:
        """Where a link's scoreboard lies."""
        return f"{self.directory}/links/{link.hex()}.board"

    def open_board(self, link: bytes) -> ScoreboardFile:
        """Of a link that is known to the header: opened, or made with everything dirty if it is gone."""
        board = self.boards[link] = ScoreboardFile.open(self.layer, self.board_path(link), self.geometry)
        return board

    def create_board(self, link: bytes) -> ScoreboardFile:
        """Of a link that is new."""
        board = self.boards[link] = ScoreboardFile.create(self.layer, self.board_path(link), self.geometry)
        return board

    def discard_board(self, link: bytes, board: ScoreboardFile) -> None:
        """Of a link that is gone, and that `boards` no longer has; behind all writes to it. May block."""
        board.close()
        self.layer.remove(self.board_path(link))
        self.layer.fsync_dir(f"{self.directory}/links")

    def bound_preserve(self, config: CopyConfig) -> None:
        """The preserve store may take so much from now on."""
        if self.preserve is not None:
            self.preserve.limit = _most(config, self.geometry)

    def close(self) -> None:
        """Gives everything back."""
        for board in self.boards.values():
            board.close()
        for queue in self.queues.values():
            queue.close()
        self.activity.close()
        if self.position is not None:
            self.position.close()
        if self.journal is not None:
            self.journal.close()
        if self.preserve is not None:
            self.preserve.close()
        self.header.close()
        for volume in self.volumes.values():
            volume.close()
        self.lock.release()


def open_copy(directory: str, config: CopyConfig, lock: Lock) -> StoredCopy:
    """Claims the volumes, then opens or makes the files.

    Raises FarshoreError or OSError; everything but the lock is given back then.
    """
    with contextlib.ExitStack() as undo:
        volumes: dict[int, Volume] = {}
        own, rooms = own_mounts(), _rooms(directory)
        for each in config.volumes:
            room = rooms.get(each.id)
            if room is None:
                volume = open_volume(each.path, each.size, own, Longer.DEVICE)
            else:
                volume = open_volume(each.path, room.room, own, Longer.ANYTHING)
                volume.size = room.size
            volumes[each.id] = volume
            undo.callback(volume.close)
        copy = _open_files(directory, config, lock, volumes)
        undo.pop_all()
    return copy


def _rooms(directory: str) -> dict[int, VolumeRoom]:
    """How large volumes are that were ever to grow; whether the header is this copy's is seen later."""
    layer, path = RealFiles(), f"{directory}/{HEADER_NAME}"
    if not layer.exists(path):
        return {}
    opened = HeaderFile.open(layer, path)
    opened.close()
    return {each.volume: each for each in opened.header.rooms}


def _open_files(directory: str, config: CopyConfig, lock: Lock, volumes: dict[int, Volume]) -> StoredCopy:
    layer = RealFiles()
    geometry = Geometry({number: each.size for number, each in volumes.items()}, config.region, config.extent)
    boot = boot_id()
    fresh = not layer.exists(f"{directory}/header")
    header = _create(layer, directory, config, boot) if fresh else _open_header(layer, directory, config)
    other_volumes.look(directory, header, volumes, config)
    standing = (
        config.role is Role.PRIMARY and header.header.fault and config.repaired != fault_id(header.header)
    )
    if not fresh and not standing and (header.header.fault or not header.header.clean):
        _settle(volumes, header, config.role)
    if not header.header.fault:  # else what has to be synced may not have been
        other_volumes.record(header, volumes)
    copy = StoredCopy(
        directory,
        layer,
        lock,
        volumes,
        geometry,
        boot,
        header,
        fresh,
        ActivityLogFile.open(layer, f"{directory}/activity", config.hot_extents),
        PositionFile.open(layer, f"{directory}/position", boot) if config.role is Role.SECONDARY else None,
        _open_journal(layer, directory, header.header, config) if config.role is Role.SECONDARY else None,
        None,
        {},
    )
    copy.names.update({each.id: each.name for each in config.volumes})
    _open_preserve(copy, config)
    if copy.journal is not None and copy.journal.past is not None and copy.preserve is not None:
        copy.journal.past.marks = marks(copy.preserve.layers, header.header.history)
    for intent in config.links:
        if header.header.link(intent.spec.id) is not None:
            copy.open_board(intent.spec.id)
        else:
            copy.create_board(intent.spec.id)
    retired = [record for record in header.header.links if record.retired]
    if config.role is Role.SECONDARY:
        _recall(copy, retired)
    wanted = {intent.spec.id.hex() for intent in config.links}
    _sweep(layer, f"{directory}/links", wanted | {record.link.hex() for record in retired})
    return copy


def _recall(copy: StoredCopy, retired: list[LinkRecord]) -> None:
    """What the scoreboards of earlier links tell; a damaged one tells nothing."""
    for record in retired:
        assert record.peer_copy is not None
        board = ScoreboardFile.open(copy.layer, copy.board_path(record.link), copy.geometry)
        residue = residue_of(copy.geometry, board.read())
        board.close()
        if residue is not None:
            copy.residues[record.peer_copy] = residue


def _sweep(layer: FileLayer, directory: str, wanted: set[str]) -> None:
    """Links that were deleted while no engine ran have left their files."""
    for name in layer.listdir(directory):
        link, _, kind = name.partition(".")
        if link in wanted or kind not in ("board", "queue"):
            continue
        if kind == "queue":
            remove_queue(layer, directory, bytes.fromhex(link))
        else:
            layer.remove(f"{directory}/{name}")
            layer.fsync_dir(directory)


def remove_queue(layer: FileLayer, directory: str, link: bytes) -> None:
    """The disk queue of a link, if there is one."""
    path = f"{directory}/{link.hex()}.queue"
    if not layer.exists(path):
        return
    for each in reversed(layer.listdir(path)):
        layer.remove(f"{path}/{each}")
    layer.remove(path)
    layer.fsync_dir(directory)


def _open_journal(layer: FileLayer, directory: str, header: Header, config: CopyConfig) -> Segments:
    """What no start will replay gives its room back."""
    path = f"{directory}/journal"
    limit = config.history or past_segments.default_limit(sum(each.size for each in config.volumes))
    past = PastSegments.open(layer, path, header.copy, limit)
    journal = Segments.open(layer, path, header.copy)
    journal.past = past
    if not header.journaling and (journal.start is not None or journal.damaged):
        journal.clear()
    return journal


def _open_preserve(copy: StoredCopy, config: CopyConfig) -> None:
    """A copy starts without it rather than not at all: its layers break when it overwrites anything."""
    limit = _most(config, copy.geometry)
    path = f"{copy.directory}/{DIRECTORY}"
    try:
        copy.preserve = PreserveStore.open(copy.layer, path, copy.geometry, limit)
        copy.preserve.broken = broken_in(copy.header.header, copy.preserve.layers)
    except (FarshoreError, OSError) as error:
        why = error.what if isinstance(error, FarshoreError) else error.strerror
        copy.preserve_unusable = f"{path}: {why}"


def _most(config: CopyConfig, geometry: Geometry) -> int:
    return config.preserve or default_limit(sum(geometry.sizes.values()))


def _settle(volumes: dict[int, Volume], header: HeaderFile, role: Role) -> None:
    """Rules C1 and C3, before anything of the volumes is read, compared or acknowledged. A failure is
    recorded first, since the kernel tells of it once: a primary then serves nobody until it is repaired, and
    whoever follows it is fed only when the operator says so; a secondary believes no unsynced position.
    Raises FarshoreError for a secondary."""
    failed: list[tuple[Volume, OSError]] = []
    for volume in volumes.values():
        try:
            volume.settle()
        except OSError as error:
            failed.append((volume, error))
    if not failed:
        return
    broken, reason = failed[0]
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    text = f"{named(VOLUMES, reason.errno or errno.EIO)} ({broken.path}, at the start of {moment})"
    fault = Fault(text, FaultKind.VOLUMES)
    paused = paused_for(header.header.links, fault)
    header.write(replace(header.header, fault=fault, clean=False, links=paused))
    if role is Role.SECONDARY:
        raise FarshoreError(
            "io-error",
            f"{broken.path}: what was written before the stop cannot be made durable: {reason.strerror}",
            means="The engine did not start. What was not durable here will be copied again when it does.",
            next_step="dmesg, and smartctl on the disk",
        )


def _create(layer: FileLayer, directory: str, config: CopyConfig, boot: str) -> HeaderFile:
    """The header comes last: until it is there, the copy was never made."""
    for name in ("activity", "position"):
        if layer.exists(f"{directory}/{name}"):
            layer.remove(f"{directory}/{name}")
    if not layer.exists(f"{directory}/links"):
        layer.mkdir(f"{directory}/links")
    ActivityLogFile.create(layer, f"{directory}/activity", config.hot_extents).close()
    if config.role is Role.SECONDARY:
        PositionFile.create(layer, f"{directory}/position", boot).close()
    layer.fsync_dir(directory)
    upstream = None if config.upstream is None else Upstream(config.upstream.link, config.upstream.epoch)
    header = Header(group=config.group, copy=config.copy, role=config.role, upstream=upstream)
    made = HeaderFile.create(layer, f"{directory}/header", header)
    layer.fsync_dir(directory)
    return made


def _open_header(layer: FileLayer, directory: str, config: CopyConfig) -> HeaderFile:
    opened = HeaderFile.open(layer, f"{directory}/header")
    header = opened.header
    if (header.group, header.copy) != (config.group, config.copy):
        opened.close()
        raise FarshoreError(
            "state-damaged",
            f"{directory} holds the state of another copy than copy.json names",
            means="Nothing was changed.",
            next_step="farshore doctor",
        )
    if header.role is not config.role:
        opened.close()
        raise FarshoreError(
            "wrong-role",
            f"the copy in {directory} is {header.role}, and copy.json says {config.role}",
            means="Roles change by a plan only; nothing was changed.",
            next_step="farshore status",
        )
    return opened


def reads_as_blank(volumes: dict[int, Volume], placed_blank: bool) -> bool:
    """Rule D3: whether no volume shows anything but zeroes. Where reading all would take long, what was not
    read counts as zeroes only if the node has read all of it when it placed the copy."""
    return all(volume.is_blank(BLANK_READ_LIMIT, beyond=placed_blank) for volume in volumes.values())
