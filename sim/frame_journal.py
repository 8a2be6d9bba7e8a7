"""A secondary's journal in the simulator, and what it makes of the volumes, seen from above.

`Replay` is the oracle's side: the frames that a start would apply behind the replay mark, told from what
the disk has done and, after a death, from the disk itself; with them a volume becomes what it would be
after that start, now or after any loss of power. The other functions are the shell's: reading and
applying what lies in the segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.model.volumes import Operation
from farshore.store.header import HeaderFile
from farshore.store.position_file import PositionFile
from farshore.store.segments import Segments
from farshore.wire import frame
from sim.disk import SECTOR, Disk, Node
from sim.files import SimFiles
from sim.site import HEADER, STATE
from sim.volume import Volumes

POSITION: Final = f"{STATE}/position"
JOURNAL: Final = f"{STATE}/journal"
SEGMENT_BYTES: Final = 8 << 10


@dataclass(slots=True)
class Replayed:
    """One frame."""

    sequence: int
    records: list[frame.Record]

    @property
    def operations(self) -> list[Operation]:
        """What it changes."""
        return [(volume, code, offset, length) for volume, code, _, offset, length, _ in self.records]


def behind(segments: Segments, mark: Position) -> list[tuple[Position, frame.Frame]]:
    """The frames in the segments that follow the mark without a gap, in order."""
    found: list[tuple[Position, frame.Frame]] = []
    cursor, here = segments.cursor_at(mark), mark
    while True:
        entries, cursor = segments.read(cursor, 4096)
        if not entries:
            return found
        for position, data in entries:
            if position.generation == here.generation and position.sequence > here.sequence:
                found.append((position, frame.check(bytes(data))))
                here = position


def apply(volumes: Volumes, data: frame.Frame) -> None:
    """Writes a frame's records, in order."""
    for volume, code, _, offset, length, payload in data.records():
        volumes.change(volume, code, offset, length, payload)


class Replay:
    """See the module."""

    def __init__(self) -> None:
        self.frames: list[Replayed] = []
        self.durable = 0
        """The newest sequence that a sync of the journal has covered."""
        self.mark = 0
        """The newest sequence that the volumes were recorded to hold durably."""

    def appended(self, position: Position, data: frame.Frame) -> None:
        """A frame is in the journal."""
        self.frames.append(Replayed(position.sequence, data.records()))

    @property
    def newest(self) -> int:
        """The sequence of the last one."""
        return self.frames[-1].sequence if self.frames else 0

    def marked(self, position: Position) -> None:
        """The mark has moved."""
        self.mark = max(self.mark, position.sequence)
        self.frames = [each for each in self.frames if each.sequence > position.sequence]

    def begun(self, position: Position) -> None:
        """The journal begins anew behind what the volumes hold."""
        self.frames, self.durable, self.mark = [], 0, max(self.mark, position.sequence)

    def continued(self) -> None:
        """The journal goes on, and all that is in it is durable."""
        self.durable = max(self.durable, self.newest)

    @property
    def certain(self) -> int:
        """The newest sequence that a loss of power now would leave to the copy."""
        return max(self.durable, self.mark)

    def read_again(self, disk: Disk, *, power_lost: bool) -> None:
        """A process has died: what is in the journal now is what the disk has."""
        self.frames = [Replayed(position.sequence, data.records()) for position, data in _on(disk)]
        if power_lost:
            self.durable = self.newest

    def node(self, volume: int, node: Node) -> Node:
        """The file of a volume as it would be after a start."""
        if not self.frames:
            return node
        made = Node()
        made.current, made.durable = bytearray(node.current), bytearray(node.durable)
        made.pending = {sector: list(versions) for sector, versions in node.pending.items()}
        for each in self.frames:
            for number, _, _, offset, length, payload in each.records:
                if number == volume and length:
                    content = bytes(payload) if payload is not None else bytes(length)
                    self._change(made, offset, content, each.sequence <= self.durable)
        return made

    @staticmethod
    def _change(node: Node, offset: int, content: bytes, durable: bool) -> None:
        end = offset + len(content)
        node.current[offset:end] = content
        if durable:
            node.durable[offset:end] = content
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            if durable:
                node.pending.pop(sector, None)
            else:
                version = bytes(node.current[sector * SECTOR : (sector + 1) * SECTOR])
                node.pending.setdefault(sector, []).append((0, version))


def _on(disk: Disk) -> list[tuple[Position, frame.Frame]]:
    """What a start would replay, found on a copy of the disk with the code that ships."""
    copy = Disk(Random(0))
    files = SimFiles(copy)
    files.mkdir(STATE)
    copy.restore(STATE, disk.copy_of(STATE))
    try:
        header = HeaderFile.open(files, HEADER).header
        durable = PositionFile.open(files, POSITION, "any").read().durable
        if not header.journaling or header.resync is not None or header.history.head is None:
            return []
        segments = Segments.open(files, JOURNAL, header.copy, SEGMENT_BYTES)
    except FarshoreError:
        return []  # somebody has taken the state away
    head = header.history.head
    mark = durable if durable is not None and durable.generation == head.generation else head
    if segments.start is None or segments.start.sequence > mark.sequence:
        return []
    return behind(segments, mark)
