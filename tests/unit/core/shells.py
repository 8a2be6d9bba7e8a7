"""The two ends of a `pair` in memory: what an engine does with the core's actions, and nothing more.

A disk shows what was written at once and keeps what was synced. Reads end with the next turn, everything
else at once. Completions of an action whose kind stands in `hold` wait until `let` is called; an errno in
`errors` is given to the next action of its kind. `forget` leaves only what is durable.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from typing import Any

from farshore.core import actions as a
from farshore.core.fault_texts import fault_id
from farshore.core.preserve import PreserveImage
from farshore.core.primary import Primary, PrimarySetup
from farshore.core.resize_actions import MakeRoom, VolumeGrown
from farshore.core.scoreboard import BoardImage
from farshore.core.write_path import Batch
from farshore.model import messages as m
from farshore.model.options import LinkSpec, Timing
from farshore.model.positions import Position
from farshore.model.volumes import CUT, FLUSH, WRITE, Operation
from tests.unit.core import growth
from tests.unit.core.disk import Disk, Payloads
from tests.unit.core.far_store import FarStore
from tests.unit.core.queue_disk import QueueDisk

TIMING = Timing(beat=0.1, limit=0.5, first_retry=0.02, last_retry=0.1, durable_every=0.1, start_grace=1.0)

_ids = count(1)


def new_id() -> bytes:
    """Sixteen bytes that no other has."""
    return blake2b(next(_ids).to_bytes(8, "big"), digest_size=16).digest()


class Shell:
    """Carries out actions one after another; a completion's actions go behind the rest."""

    def __init__(self) -> None:
        self.hold: set[type] = set()
        self.errors: dict[type, list[int]] = {}
        self.notes: list[a.Note] = []
        self.done: list[a.Action] = []
        """Every action that was carried out, in order."""
        self._actions: deque[a.Action] = deque()
        self._held: deque[tuple[type, Callable[[], list[a.Action]]]] = deque()
        self._running = False

    def run(self, actions: list[a.Action]) -> None:
        """Carry out these, and what follows from them."""
        self._actions.extend(actions)
        if self._running:
            return
        self._running = True
        for _ in range(5000):
            if not self._actions:
                break
            action = self._actions.popleft()
            self.done.append(action)
            self.carry_out(action)
        self._running = False
        assert not self._actions, "one input has no end"

    def carry_out(self, action: a.Action) -> None:
        """One action."""
        raise AssertionError(action)

    def finish(self, action: a.Action, effect: Callable[[int], None], report: Callable[[int], Any]) -> None:
        """An action with a completion: `effect` happens when it completes, unless it fails."""

        def complete() -> list[a.Action]:
            failing = self.errors.get(type(action), [])
            errno = failing.pop(0) if failing and not isinstance(action, a.Issue) else 0
            if not errno:
                effect(errno)
            answer: list[a.Action] = report(errno)
            return answer

        if type(action) in self.hold or isinstance(action, a.ReadRegion):
            self._held.append((type(action), complete))
        else:
            self._actions.extend(complete())

    def let(self, kind: type, times: int = 1) -> None:
        """Complete the oldest held action of a kind."""
        for _ in range(times):
            held = next(item for item in self._held if item[0] is kind)
            self._held.remove(held)
            self.run(held[1]())

    def let_next(self) -> None:
        """Complete what has been held longest, if anything is."""
        if self._held:
            self.run(self._held.popleft()[1]())

    def let_all(self) -> None:
        """Complete everything that is held, and hold nothing more. Of one kind nothing overtakes."""
        for _ in range(1000):
            if not self._held:
                break
            self.run(self._held.popleft()[1]())
        self.hold.clear()
        assert not self._held

    def settle(self) -> None:
        """Complete what takes until the next turn."""
        for kind, complete in [item for item in self._held if item[0] not in self.hold]:
            self._held.remove((kind, complete))
            self.run(complete())

    def held(self, kind: type) -> int:
        """How many actions of a kind wait."""
        return sum(1 for item in self._held if item[0] is kind)

    def carried(self, kind: type) -> list[Any]:
        """The actions of one kind that were carried out."""
        return [action for action in self.done if type(action) is kind]

    def noted(self, kind: str) -> list[dict[str, object]]:
        """The fields of the events of one kind."""
        return [note.fields for note in self.notes if note.kind == kind]

    def forget(self) -> None:
        """The process is gone with all that it had under way."""
        self._actions.clear()
        self._held.clear()
        self.hold.clear()
        self.errors.clear()


@dataclass
class BoardFile:
    """A scoreboard as it stands on disk."""

    base: Position | None
    peer_copy: bytes | None
    pages: dict[tuple[str, int, int], bytes]

    def write(self, action: a.WriteBoard) -> None:
        """As the store would."""
        self.base, self.peer_copy = action.base, action.peer_copy
        for name, volume, number, data in action.pages:
            self.pages[name, volume, number] = data

    def image(self) -> BoardImage:
        """As the store would read it."""
        maps: dict[tuple[str, int], bytes] = {}
        for (name, volume, _), data in sorted(self.pages.items()):
            maps[name, volume] = maps.get((name, volume), b"") + data
        return BoardImage(self.base, self.peer_copy, maps)


class Near(Shell):
    """The primary's engine."""

    def __init__(self, setup: PrimarySetup, send: Callable[[a.Action], None]) -> None:
        super().__init__()
        self._setup = setup
        self._line = send
        self.disk = Disk(setup.geometry)
        self.store = FarStore(setup.geometry, self.disk)
        self.store_unusable = ""
        """Why the next process cannot open it."""
        self.header = setup.header
        self.hot: frozenset[tuple[int, int]] | None = setup.hot
        self.boards: dict[bytes, BoardFile] = {}
        self.links: tuple[LinkSpec, ...] = setup.links
        self.replies: dict[object, int] = {}
        self.reads: dict[object, bytes | int] = {}
        """What reads that the disk refused were answered: content, or an errno."""
        self.queues: dict[bytes, QueueDisk] = {spec.id: QueueDisk() for spec in setup.links}
        self.core: Primary = Primary(replace(setup, preserve=self.store_image))

    def start(self, boot: str, on_start: str, *, repaired: bool = True, turned: bool = False) -> None:
        """A new process on what is durable; the operator takes a fault for `repaired`. `turned`: it has just
        carried out a turn."""
        setup = replace(
            self._setup,
            header=self.header,
            geometry=growth.sized(self._setup.geometry, self.header),
            links=self.links,
            hot=self.hot,
            boards={link: board.image() for link, board in self.boards.items()},
            boot=boot,
            on_start=on_start,
            turned=turned,
            instance=new_id(),
            repaired=fault_id(self.header) if repaired else "",
            queues={link: image for link, queue in self.queues.items() if (image := queue.image())},
            preserve=self.store_image,
        )
        self.core = Primary(setup)

    @property
    def store_image(self) -> PreserveImage:
        """What a process finds of its preserve store."""
        return PreserveImage(unusable=self.store_unusable) if self.store_unusable else self.store.image

    def carry_out(self, action: a.Action) -> None:
        core = self.core
        match action:
            case a.Issue(ticket=ticket, operations=operations, payloads=payloads):
                self._line(action)
                self._keep(action)
                self._write(ticket, operations, payloads, action)
            case a.Reply(tokens=tokens, errno=errno):
                for token in tokens:
                    assert token not in self.replies, f"{token} is answered twice"
                    self.replies[token] = errno
            case a.SyncVolumes(ticket=ticket):
                self.finish(action, self.disk.sync(), lambda errno: core.synced(ticket, errno))
            case a.WriteActivity(ticket=ticket, extents=extents):

                def log(_: int) -> None:
                    self.hot = frozenset(extents)

                self.finish(action, log, lambda errno: core.activity_written(ticket, errno))
            case a.WriteHeader(ticket=ticket, header=header):

                def keep(_: int) -> None:
                    self.header = header

                self.finish(action, keep, lambda errno: core.header_written(ticket, errno))
            case a.WriteBoard(ticket=ticket):
                self.finish(
                    action, lambda _: self._board(action), lambda errno: core.board_written(ticket, errno)
                )
            case a.ReadRegion():
                self.finish(action, lambda _: None, lambda errno: self._read(action, errno))
            case a.MendRegion(ticket=ticket, volume=volume, offset=offset, data=data):
                operation = (volume, WRITE, offset, len(data))
                self.finish(
                    action,
                    lambda _: self.disk.write([operation], [data]),
                    lambda errno: core.mending.mended(ticket, errno),
                )
            case a.AnswerRead(token=token, found=found, errno=errno):
                self.reads[token] = errno or b"".join(bytes(each[1]) for each in sorted(found))
            case a.BeginLayer() | a.SaveRegions() | a.DropLayer():
                self.store.carry_out(self.finish, core, action)
            case a.QueueAppend() | a.QueueRead() | a.QueueSend():
                self._carry_out_queue(action)
            case a.QueueTrim() | a.QueueDrop() | a.QueueSync():
                self._carry_out_queue(action)
            case a.Note():
                self.notes.append(action)
            case MakeRoom() | VolumeGrown():
                growth.carry_out(self, self.disk, core.resizing.room, action)
            case _:
                self._line(action)

    def _carry_out_queue(self, action: a.Action) -> None:
        core = self.core
        match action:
            case a.QueueAppend(link=link):
                self._append(link)
            case a.QueueRead(link=link):
                self.finish(action, lambda _: None, lambda errno: self._read_back(action, errno))
            case a.QueueSend(channel=channel, after=after):
                frames = [each for each in self.queues[channel].memory if each.first > after]
                self._line(a.SendFrames(channel, list(frames)))
            case a.QueueTrim(link=link, durable=durable):
                self.queues[link].trim(durable)
                self._report_queue(link, 0)
            case a.QueueDrop(link=link):
                self.queues[link].drop()
            case a.QueueSync(ticket=ticket, link=link):
                queue = self.queues[link]
                covered = len(queue.disk)

                def safe(_: int) -> None:
                    queue.safe = min(covered, len(queue.disk))

                self.finish(action, safe, lambda errno: core.queue_synced(ticket, errno))

    def _write(
        self, ticket: int, operations: Sequence[Operation], payloads: Payloads, action: a.Action
    ) -> None:
        kept = [None if data is None else bytes(data) for data in payloads]
        failing = self.errors.pop(a.Issue, [])
        errors = {
            index: errno
            for index, (errno, operation) in enumerate(zip(failing, operations, strict=False))
            if errno and operation[1] != FLUSH
        }
        good = [index for index in range(len(operations)) if index not in errors]
        self.finish(
            action,
            lambda _: self.disk.write([operations[i] for i in good], [kept[i] for i in good]),
            lambda _: self.core.written(ticket, errors),
        )

    def _keep(self, action: a.Issue) -> None:
        for link, to_disk in action.queues:
            kept = [None if data is None else bytes(data) for data in action.payloads]
            self.queues[link].keep(replace(action, payloads=kept))
            if to_disk:
                self._append(link)

    def _append(self, link: bytes) -> None:
        action = a.QueueAppend(link)
        errno: list[int] = []

        def append(_: int) -> None:
            errno.append(self.queues[link].append())

        def report(failed: int) -> list[a.Action]:
            return self._queue_written(link, failed or errno[0])

        self.finish(action, append, report)

    def _queue_written(self, link: bytes, errno: int) -> list[a.Action]:
        queue = self.queues[link]
        return self.core.queue_written(link, queue.end, queue.size, errno)

    def _report_queue(self, link: bytes, errno: int) -> None:
        self._actions.extend(self._queue_written(link, errno))

    def _read_back(self, action: a.QueueRead, errno: int) -> list[a.Action]:
        found = self.queues[action.link].read(action.after, action.most)
        frames = [(head_of(self.header.group, each), each) for each in found]
        return self.core.queue_read(action.ticket, frames, "EIO" if errno else "")

    def _board(self, action: a.WriteBoard) -> None:
        self.boards.setdefault(action.link, BoardFile(None, None, {})).write(action)

    def _read(self, action: a.ReadRegion, errno: int) -> list[a.Action]:
        if errno:
            return self.core.region_read(action.ticket, None, errno)
        region = self._setup.geometry.region
        data = bytes(self.disk.seen[action.volume][action.offset : action.offset + action.length])
        if action.digest:
            data = self.disk.digests(action.volume, action.offset, action.length, region)
            return self.core.region_read(action.ticket, data, 0)
        return self.core.region_read(action.ticket, data if any(data) else None, 0)

    def submit(self, operations: Iterable[Operation], payloads: Payloads, tokens: Sequence[object]) -> None:
        """One batch; a FLUSH among the operations is the batch's flush."""
        batch = Batch()
        for operation, payload, token in zip(operations, payloads, tokens, strict=True):
            if operation[1] == FLUSH:
                batch.flushes.append(token)
                continue
            batch.operations.append(operation)
            batch.payloads.append(payload)
            batch.tokens.append(token)
        self.run(self.core.submit(batch))


def head_of(group: bytes, unit: a.Issue) -> m.FrameHead:
    """What a decoder would find."""
    ending, name, follows = unit.operations[-1][1], unit.payloads[-1], unit.follows
    count = len(unit.operations)
    size = 96 + sum(16 + operation[3] for operation in unit.operations)
    snapshot = bytes(name).decode() if ending == CUT and name else ""
    stamp = (group, follows.generation, unit.first, count, follows, 0)
    return m.FrameHead(*stamp, ending == FLUSH, size, ending == CUT, snapshot)
