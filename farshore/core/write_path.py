"""The primary's write path: a batch of requests in, ordered actions out (rules A2, B1, C1, C3).

One batch is what the application's connections sent within one turn of the loop. What touches hot
extents only gets its sequences at once and goes out as one frame; the rest waits, without a
sequence, until the activity log names its extents, and, where the copy has layers, until what it overwrites
is saved. Acknowledgements leave batch by batch once
every gate has been passed: the local write, and what each sync link asks for. A flush ends its
batch as a record of its own; it is acknowledged once everything up to it is durable locally and
at every sync link that replicates, whichever connection wrote it.

Nothing is acknowledged after an error that touched it, and after a failed fsync nothing at all.
"""

from __future__ import annotations

import errno as errnos
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from farshore.core.actions import Issue, Reply, WriteActivity
from farshore.core.activity import ActivityLog
from farshore.core.outbox import GroupSync, Outbox
from farshore.core.preserve import Preserving
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.model.volumes import CUT, FLUSH, Operation

FLUSH_RECORD: Operation = (0, FLUSH, 0, 0)
NO_LIMIT = 1 << 64


@dataclass(slots=True)
class Batch:
    """The requests of one turn, in the order of their arrival.

    `operations` are WRITE, ZERO and TRIM; `payloads` and `tokens` run parallel to them. `durable`
    holds the indexes of operations with FUA, `flushes` the tokens of FLUSH requests. Payloads may
    live in the shell's receive buffer: what is not issued at once is copied here.
    """

    operations: list[Operation] = field(default_factory=list)
    payloads: list[Buffer | None] = field(default_factory=list)
    tokens: list[object] = field(default_factory=list)
    durable: list[int] = field(default_factory=list)
    flushes: list[object] = field(default_factory=list)


@dataclass(slots=True)
class Gate:
    """How far one sync link lets acknowledgements go: of writes, and of flushes."""

    write: int = NO_LIMIT
    flush: int = NO_LIMIT

    def limit(self, write: int, flush: int) -> None:
        """Move the gate."""
        self.write, self.flush = write, flush


Destinations: TypeAlias = tuple[tuple[bytes, ...], tuple[tuple[bytes, bool], ...]]
"""`links` and `queues` of an `Issue`."""


class Fanout(Protocol):
    """Whoever must know of a frame before any of it leaves or is written."""

    def issued(self, operations: list[Operation], last: int, size: int) -> Destinations:
        """Mark or remember the operations for every link; returns where the frame goes."""
        ...


class WritePath:
    """See the module. Sequences are of the generation that `open` was given."""

    def __init__(self, outbox: Outbox, activity: ActivityLog, sync: GroupSync) -> None:
        self.outbox = outbox
        self.activity = activity
        self.sync = sync
        self.fanout: Fanout
        self.on_fault: Callable[[int], None]
        self.on_sync_fault: Callable[[int], None]
        self.on_write_error: Callable[[list[Operation], int], None]
        self.generation = b""
        self.sequence = 0
        self.ceiling = 0
        self.written = 0
        self.durable = 0
        self.held = True
        self.blocked: set[bytes] = set()
        """Links whose queue is full and holds writes (rule F1)."""
        self.fault = 0
        self.gates: dict[bytes, Gate] = {}
        self.saves: Preserving | None = None
        """What wants regions saved before they are overwritten; None while nothing does (see `keeping`)."""
        self.barriers: list[tuple[int, int, int]] = []
        """Ranges (volume, offset, end) whose writes wait for a resync's read (rule E4)."""
        self.unwritten: deque[tuple[int, list[Operation], list[object]]] = deque()
        """Issued batches (last sequence, operations, tokens) whose local write was not reported yet."""
        self._parked: deque[tuple[Operation, Buffer | None, object, bool]] = deque()
        self._parked_flushes: list[object] = []
        self._pending: deque[tuple[int, list[object]]] = deque()
        self._flushes: deque[tuple[int, list[object]]] = deque()
        self._logging_cold = False

    # -- requests ---------------------------------------------------------------------------

    def submit(self, batch: Batch) -> None:
        """Take the requests of one turn."""
        if self.fault:
            self.outbox.emit(Reply([*batch.tokens, *batch.flushes], self.fault))
            return
        operations = batch.operations
        last = self.sequence + len(operations) + 1
        if self.held or self.blocked:
            self._park(batch, range(len(operations)))
            self._parked_flushes.extend(batch.flushes)
        elif (
            not self.barriers
            and last <= self.ceiling
            and self.activity.admit(operations, last)
            and (self.saves is None or self._saved(operations))
        ):
            self._issue(batch)
        else:
            self._submit_mixed(batch)

    def _submit_mixed(self, batch: Batch) -> None:
        """Some operations are cold, or wait for a save, a read, or sequences: issue the others."""
        operations = batch.operations
        self._saved(operations)
        room = self.ceiling - self.sequence - 1
        waiting = [
            index for index, operation in enumerate(operations) if index >= room or self._waits(operation)
        ]
        if room < 1:
            self._park(batch, range(len(operations)))
            self._parked_flushes.extend(batch.flushes)
            return
        late = set(waiting)
        ready = [index for index in range(len(operations)) if index not in late]
        durable = set(batch.durable)
        self._park(batch, waiting)
        chosen = Batch(
            [operations[index] for index in ready],
            [batch.payloads[index] for index in ready],
            [batch.tokens[index] for index in ready],
            [place for place, index in enumerate(ready) if index in durable],
            batch.flushes,
        )
        self.activity.admit(chosen.operations, self.sequence + len(ready) + 1)
        self._issue(chosen)
        self.admit_cold()

    def _park(self, batch: Batch, indexes: Sequence[int]) -> None:
        durable = set(batch.durable)
        for index in indexes:
            payload = batch.payloads[index]
            self._parked.append(
                (
                    batch.operations[index],
                    None if payload is None else bytes(payload),
                    batch.tokens[index],
                    index in durable,
                )
            )

    def _saved(self, operations: Iterable[Operation]) -> bool:
        """Whether all that these overwrite is saved. If not it is wanted, all of it at once: so whoever asks
        for one operation after the other asks for all of them first."""
        saves = self.saves
        return saves is None or saves.spare([(volume, at, length) for volume, _, at, length in operations])

    def _waits(self, operation: Operation) -> bool:
        return not self.activity.is_hot(operation) or self._barred(operation) or not self._saved((operation,))

    def _barred(self, operation: Operation) -> bool:
        volume, _, offset, length = operation
        return any(
            volume == held and offset < end and start < offset + length for held, start, end in self.barriers
        )

    # -- cold extents (A2) ------------------------------------------------------------------

    def admit_cold(self) -> None:
        """Ask for the extents of what waits, as far as there is room and no request is under way."""
        if self._logging_cold or self.held or self.blocked or self.fault or not self._parked:
            return
        keys = self.activity.fit(item[0] for item in self._parked)
        if keys:
            self._logging_cold = True
            extents = self.activity.begin(keys)
            self.outbox.emit(WriteActivity(self.outbox.ticket(self._activity_written), extents))
        else:
            self.release_parked()

    def _activity_written(self, errno: int) -> None:
        self._logging_cold = False
        if errno:
            self.on_fault(errno)
            return
        self.activity.added()
        self.release_parked()
        self.admit_cold()

    def release_parked(self) -> None:
        """Issue, in order, whatever no longer has to wait."""
        if self.held or self.blocked or self.fault or not (self._parked or self._parked_flushes):
            return
        self._saved([item[0] for item in self._parked])
        chosen, still = Batch(), deque[tuple[Operation, Buffer | None, object, bool]]()
        room = self.ceiling - self.sequence - 1
        for item in self._parked:
            operation, payload, token, durable = item
            if len(chosen.operations) >= room or self._waits(operation):
                still.append(item)
                continue
            if durable:
                chosen.durable.append(len(chosen.operations))
            chosen.operations.append(operation)
            chosen.payloads.append(payload)
            chosen.tokens.append(token)
        self._parked = still
        if room > 0:
            chosen.flushes, self._parked_flushes = self._parked_flushes, []
        if chosen.operations or chosen.flushes:
            self.activity.admit(chosen.operations, self.sequence + len(chosen.operations) + 1)
            self._issue(chosen)

    @property
    def starved(self) -> bool:
        """True when operations wait for extents and there is no room for the first of them."""
        if not self._parked or self._logging_cold or self.held or self.blocked or self.fault:
            return False
        if self.ceiling - self.sequence - 1 < 1:
            return False  # they wait for sequences, and an extent that cools would not help them
        cold = [item[0] for item in self._parked if not self.activity.is_hot(item[0])]
        return bool(cold) and not self.activity.fit(cold[:1])

    @property
    def waiting(self) -> int:
        """How many requests wait without a sequence."""
        return len(self._parked) + len(self._parked_flushes)

    # -- sequences --------------------------------------------------------------------------

    def _issue(self, batch: Batch) -> None:
        operations, tokens = batch.operations, batch.tokens
        flush_tokens = batch.flushes
        if batch.durable:
            durable = set(batch.durable)
            flush_tokens = [*flush_tokens, *(tokens[index] for index in batch.durable)]
            tokens = [token for index, token in enumerate(tokens) if index not in durable]
        payloads = batch.payloads
        if flush_tokens:
            operations = [*operations, FLUSH_RECORD]
            payloads = [*payloads, None]
        if not operations:
            return
        first = self.sequence + 1
        last = self.sequence = self.sequence + len(operations)
        if tokens:
            self._pending.append((last, tokens))
        if flush_tokens:
            self._flushes.append((last, list(flush_tokens)))
        self.unwritten.append((last, operations, batch.tokens))
        size = sum([operation[3] for operation in operations])
        links, queues = self.fanout.issued(operations, last, size)
        follows = Position(self.generation, first - 1)
        self.outbox.emit(Issue(last, first, follows, operations, payloads, links, queues))

    def cut(self, number: int, snapshot: bytes | None) -> Position:
        """Issue a cut behind everything that has a sequence; there is room for it (see `cutting`)."""
        self._issue(Batch([(0, CUT, number, 0)], [snapshot]))
        return Position(self.generation, self.sequence)

    def issue_alone(self, operation: Operation) -> Issue:
        """Issue a record that changes no bytes as a frame of its own; there is room for its sequence."""
        self._issue(Batch([operation], [None]))
        issued = self.outbox.actions[-1]
        assert isinstance(issued, Issue)
        return issued

    def local_write_done(self, ticket: int, errors: dict[int, int]) -> None:
        """The shell has written the batch whose last sequence is `ticket`."""
        last, operations, tokens = self.unwritten.popleft()
        if last != ticket:
            raise ValueError(f"batch {ticket} was reported out of order, {last} was expected")
        self.written = last
        if errors and not self.fault:
            for errno in set(errors.values()):
                self._refuse_failed([tokens[index] for index in errors if errors[index] == errno], errno)
            self.on_write_error([operations[index] for index in errors], next(iter(errors.values())))
        if self._flushes and self.sync.idle:
            self._sync_for_flush()
        self.release()

    def _refuse_failed(self, failed: list[object], errno: int) -> None:
        """Rule C3: the operations that failed are answered with the error and never acknowledged."""
        self.outbox.emit(Reply(failed, errno))
        gone = {id(token) for token in failed}
        for queue in (self._pending, self._flushes):
            for place, (sequence, tokens) in enumerate(queue):
                if any(id(token) in gone for token in tokens):
                    queue[place] = (sequence, [token for token in tokens if id(token) not in gone])

    # -- acknowledgements -------------------------------------------------------------------

    def release(self) -> None:
        """Acknowledge whatever every gate lets through."""
        pending, flushes = self._pending, self._flushes
        if not pending and not flushes:
            return
        write, flush = self.written, self.durable
        for gate in self.gates.values():
            if gate.write < write:
                write = gate.write
            if gate.flush < flush:
                flush = gate.flush
        while pending and pending[0][0] <= write:
            tokens = pending.popleft()[1]
            if tokens:
                self.outbox.emit(Reply(tokens))
        while flushes and flushes[0][0] <= flush:
            tokens = flushes.popleft()[1]
            if tokens:
                self.outbox.emit(Reply(tokens))

    def _sync_for_flush(self) -> None:
        if self._flushes and self.durable < self._flushes[-1][0] and self.durable < self.written:
            self.sync_now(lambda: None)

    def sync_now(self, then: Callable[[], None]) -> None:
        """fdatasync the volumes; `then` runs once everything written before this call is durable."""
        covered = self.written

        def synced(errno: int) -> None:
            if errno:
                self.on_sync_fault(errno)
                return
            self.durable = max(self.durable, covered)
            then()
            if self.sync.idle:
                self._sync_for_flush()
            self.release()

        self.sync.request(synced)

    def fail(self, errno: int) -> None:
        """Rule C3: answer everything with an error, now and from now on."""
        self.fault = errno or errnos.EIO
        tokens: list[object] = [item[2] for item in self._parked]
        tokens += self._parked_flushes
        for queue in (self._pending, self._flushes):
            for _, waiting in queue:
                tokens += waiting
            queue.clear()
        self._parked.clear()
        self._parked_flushes.clear()
        if tokens:
            self.outbox.emit(Reply(tokens, self.fault))
