"""What is true: which write each sector may hold, by everything that was issued and acknowledged.

`Truth` is told of every frame that the primary issues and of every answer that the application
gets, and derives from these alone what a copy must hold after the death of a process or a machine
(rules C1, C2, C4), and that no sequence is used twice (D1). It asks no part of the core.
Sequences only grow over the whole run, since all histories of a run are one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.model.volumes import CUT, WRITE, Operation
from sim import stamps
from sim.app import Request
from sim.disk import SECTOR
from sim.site import Site
from sim.world import BrokenRule

Place = tuple[int, int]
"""(volume, sector)."""
Floors = dict[Place, int]
"""The lowest sequence whose content, or that of a later write, a sector must hold."""


@dataclass(slots=True)
class Stretch:
    """One generation: what stood on the volumes when it began, and the operations since then."""

    images: dict[int, bytes]
    operations: list[tuple[int, Operation, Buffer | None]] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    """Sequences whose local write failed: their sectors may hold them or not."""


@dataclass(slots=True)
class Promise:
    """What the application may rely on at one copy."""

    applied: Floors = field(default_factory=dict)
    """Survives the death of the process."""
    durable: Floors = field(default_factory=dict)
    """Survives a loss of power."""
    alone: Floors = field(default_factory=dict)
    """What the application was told of while this copy lacked it (rule C4)."""
    flushed: int = 0
    """How many answers are covered by an acknowledged flush."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link stood when an answer was given."""

    link: bytes
    applied: bool
    """The answer promises that the write survives the death of the peer's process."""
    durable: bool
    """It promises that the write survives a loss of power there."""
    flushes: bool
    """An acknowledged flush promises that for everything it covers."""


class Truth:
    """See the module."""

    def __init__(self, images: dict[int, bytes]) -> None:
        self.stretches: dict[bytes, Stretch] = {}
        self.sequence = 0
        """The highest sequence that was ever issued."""
        self.cuts: set[tuple[bytes, int]] = set()
        """Generation and sequence of every cut."""
        self.local = Promise()
        self.peers: dict[bytes, Promise] = {}
        self.answered: list[Request] = []
        self._forgiven = 0
        """Answers that a later flush does not cover any more: power or a cache was lost since."""
        self.issued_requests: dict[int, Request] = {}
        self._log: dict[Place, list[tuple[int, int]]] = {}
        """(sequence, write id) of each content a sector may have, oldest first."""
        self._ever: dict[Place, list[tuple[int, int]]] = {}
        """The same, without what was lost: a peer may still hold it."""
        self._zeroing: list[Request] = []
        for volume, image in images.items():
            for sector in range(len(image) // SECTOR):
                content = image[sector * SECTOR : (sector + 1) * SECTOR]
                first = (0, stamps.writer(volume, sector, content))
                self._log[volume, sector] = [first]
                self._ever[volume, sector] = [(0, 0), first] if first[1] else [first]

    # -- what the primary does ----------------------------------------------------------------

    def begun(self, generation: bytes, images: dict[int, bytes]) -> None:
        """A primary has started and minted this generation over these images."""
        if generation in self.stretches:
            raise BrokenRule("D1", f"generation {generation.hex()[:8]} was minted twice")
        self.stretches[generation] = Stretch(images)

    def sent(self, request: Request) -> None:
        """The application has sent a request that changes bytes."""
        if request.payload is None:
            self._zeroing.append(request)
        else:
            self.issued_requests[request.id] = request

    def issued(
        self,
        generation: bytes,
        first: int,
        follows: Position,
        operations: Sequence[Operation],
        payloads: Sequence[Buffer | None],
    ) -> None:
        """The primary gave these operations their sequences."""
        if first <= self.sequence:
            raise BrokenRule("D1", f"sequence {first} was used before; the highest is {self.sequence}")
        if follows != Position(generation, first - 1):
            raise BrokenRule("D1", f"the frame at {first} says that it follows {follows}")
        stretch = self.stretches[generation]
        for place, operation in enumerate(operations):
            sequence = first + place
            data = payloads[place]
            data = None if data is None else bytes(data)
            stretch.operations.append((sequence, operation, data))
            if operation[1] == CUT:
                self.cuts.add((generation, sequence))
            if operation[3]:
                write = self._request_of(operation, data, sequence)
                self._logged(sequence, operation, write)
        self.sequence = first + len(operations) - 1

    def _request_of(self, operation: Operation, data: Buffer | None, sequence: int) -> int:
        if operation[1] == WRITE:
            if data is None or len(data) != operation[3]:
                raise BrokenRule("B1", f"the write at sequence {sequence} has lost its payload")
            request = self.issued_requests.get(stamps.write_of(data))
        else:
            request = next((each for each in self._zeroing if each.operation == operation), None)
            if request is not None:
                self._zeroing.remove(request)
        if request is None or request.sequence or request.operation != operation:
            raise BrokenRule("B1", f"sequence {sequence} is no request of the application: {operation}")
        request.sequence = sequence
        return request.id if operation[1] == WRITE else 0

    def _logged(self, sequence: int, operation: Operation, write: int) -> None:
        for place in sectors(operation):
            self._log[place].append((sequence, write))
            self._ever[place].append((sequence, write))

    # -- what the application was told -----------------------------------------------------------

    def acknowledged(self, request: Request, standings: Iterable[Standing]) -> None:
        """The application got a success; `standings` are those of the links at that moment."""
        changes = bool(request.operation[3])
        flush = request.fua or not changes
        if changes:
            if not request.sequence:
                raise BrokenRule("C2", f"request {request.id} was acknowledged before it was issued")
            self.answered.append(request)
            raise_floors(self.local.applied, request)
            if request.fua:
                raise_floors(self.local.durable, request)
        if flush:
            self._flushed(self.local, request.covers)
        for standing in standings:
            promise = self.promise(standing.link)
            if changes and standing.applied:
                raise_floors(promise.applied, request)
            if changes and (standing.durable or (request.fua and standing.flushes)):
                raise_floors(promise.durable, request)
            if flush and standing.flushes:
                self._flushed(promise, request.covers)

    def promise(self, link: bytes) -> Promise:
        """What the application may rely on at a link's peer."""
        if link not in self.peers:
            self.peers[link] = Promise(flushed=self._forgiven)
        return self.peers[link]

    def _flushed(self, promise: Promise, covers: int) -> None:
        for request in self.answered[promise.flushed : covers]:
            raise_floors(promise.durable, request)
            raise_floors(promise.applied, request)
        promise.flushed = max(promise.flushed, covers)

    # -- what a copy must hold -------------------------------------------------------------------

    def _held(self, log: list[tuple[int, int]], place: Place, content: Buffer, floor: int) -> tuple[int, int]:
        """(sequence, write id) of a sector's content, which must be of `floor` or later.

        Raises ValueError when it is not.
        """
        write = stamps.writer(*place, content)
        for sequence, logged in reversed(log):
            if sequence < floor:
                break
            if logged == write:
                return sequence, write
        raise ValueError(
            f"sector {place[1]} of volume {place[0]} holds write {write}, which is not of sequence"
            f" {floor} or later; it may hold {log[-6:]}"
        )

    def check_peer(self, link: bytes, images: dict[int, bytearray], *, power_lost: bool) -> None:
        """A peer's images keep what was promised for that link (rules C1, C2, C4)."""
        promise = self.peers.get(link)
        if promise is None:
            return
        for place, floor in (promise.durable if power_lost else promise.applied).items():
            volume, sector = place
            content = images[volume][sector * SECTOR : (sector + 1) * SECTOR]
            try:
                self._held(self._ever[place], place, content, floor)
            except ValueError as error:
                raise BrokenRule("C2", f"at the peer, {error}") from error
        if power_lost:
            promise.applied = dict(promise.durable)

    def check_read(self, span: tuple[int, int, int], content: bytes, floors: Floors) -> None:
        """What a read was answered is of `floors`, acknowledged when it began, or later (rule C3)."""
        volume, offset, length = span
        for at in range(0, length, SECTOR):
            place = volume, (offset + at) // SECTOR
            try:
                self._held(self._ever[place], place, content[at : at + SECTOR], floors.get(place, 0))
            except ValueError as error:
                raise BrokenRule("C3", f"a read was answered wrongly: {error}") from error

    def images_at(self, position: Position) -> dict[int, bytes] | None:
        """What the primary held there; None where a write had failed, so that nobody knows."""
        stretch = self.stretches[position.generation]
        if stretch.failed:
            return None
        images = {volume: bytearray(image) for volume, image in stretch.images.items()}
        for sequence, (volume, _, offset, length), data in stretch.operations:
            if sequence <= position.sequence and length:
                images[volume][offset : offset + length] = bytes(length) if data is None else data
        return {volume: bytes(image) for volume, image in images.items()}

    def peer_lacks(self, request: Request, images: dict[int, bytearray]) -> bool:
        """Whether a peer with these images lacks this request's changes."""
        for place in sectors(request.operation):
            content = images[place[0]][place[1] * SECTOR : (place[1] + 1) * SECTOR]
            try:
                self._held(self._ever[place], place, content, request.sequence)
            except ValueError:
                return True
        return False

    def check_durable(self, link: bytes, peer: Site) -> None:
        """`alone since` is cleared: all that was acknowledged alone is durable at the peer (rule C4)."""
        promise = self.promise(link)
        alone, promise.alone = promise.alone, {}
        for place, floor in alone.items():
            node = peer.node_of(place[0])
            span = slice(place[1] * SECTOR, (place[1] + 1) * SECTOR)
            contents = [bytes(node.durable[span])]
            contents += [version[1] for version in node.pending.get(place[1], [])]
            for content in contents:
                try:
                    self._held(self._ever[place], place, content, floor)
                except ValueError as error:
                    raise BrokenRule("C4", f"no longer alone, but at the peer {error}") from error

    def settle(self, images: dict[int, bytearray], power_lost: bool, cache_lost: bool = False) -> None:
        """The primary has died, and these are its images now: rules C1 and C2 at the primary itself.
        With `cache_lost` a sync had failed, and the cache shows what is on the disk since then.

        From here on only what it still holds can appear again, and a promise that rested on what a
        loss of power took with good right is over, at the peers too.
        """
        lost = power_lost or cache_lost
        floors, rule = (self.local.durable, "C1") if lost else (self.local.applied, "C2")
        for place, log in self._log.items():
            volume, sector = place
            content = images[volume][sector * SECTOR : (sector + 1) * SECTOR]
            if len(log) == 1 and not log[0][1] and content == stamps.ZEROES:
                continue
            try:
                held = self._held(log, place, content, floors.get(place, 0))
            except ValueError as error:
                raise BrokenRule(rule, f"at the primary, {error}") from error
            newest = log[-1][0]
            # A loss of power later on may still bring back what the cache hides now.
            self._log[place] = [held] if power_lost else log[: log.index(held) + 1]
            if held[0] < newest:
                for promise in (self.local, *self.peers.values()):
                    for promised in (promise.applied, promise.durable, promise.alone):
                        if promised.get(place, 0) > held[0]:
                            promised[place] = held[0]
        self._zeroing.clear()
        if power_lost or cache_lost:
            self._forgiven = len(self.answered)
            for promise in (self.local, *self.peers.values()):
                promise.flushed = self._forgiven


def sectors(operation: Operation) -> list[Place]:
    """The places that an operation covers."""
    volume, _, offset, length = operation
    return [(volume, sector) for sector in range(offset // SECTOR, (offset + length) // SECTOR)]


def raise_floors(floors: Floors, request: Request) -> None:
    """The sectors of a request hold it or something later."""
    sequence = request.sequence
    for place in sectors(request.operation):
        if floors.get(place, 0) < sequence:
            floors[place] = sequence
