"""The two ends of a compressed direction, as channels on top of others (`farshore.wire.compression`).

The feeder packs what its queue holds when the channel below can take more, so that under load many
frames share a block, and a single one waits for nothing. Small blocks are packed on the loop, larger
ones as single calls on a thread of their own, which keeps no lock meanwhile; one at a time, so the
order is the queue's. Data that does not shrink is tried ever more rarely. The follower unpacks on the
loop: a block takes a fraction of a millisecond.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from farshore.engine.channel import NOTHING, Channel
from farshore.engine.channel_layer import ChannelLayer, QueueingLayer
from farshore.engine.pool import Pool
from farshore.model.messages import Buffer
from farshore.wire import compression
from farshore.wire.compression import HEADER, MAX_RAW, RAW, ZSTD, Packer, Unpacker

_ON_THE_LOOP: Final = 8 << 10
"""Bytes that are packed in some ten microseconds, less than it takes to ask a thread."""
_AHEAD: Final = 128 << 10
"""Bytes in the channel below at which the next block waits."""
_MOST_SKIPPED: Final = 64
"""Blocks that are sent raw without a try, after others that did not shrink."""


class PackingChannel(QueueingLayer):
    """`Channel` that packs what it sends. `when_ready` is called from the loop when more may be sent."""

    def __init__(self, inner: Channel, pool: Pool) -> None:
        super().__init__(inner)
        self._pool = pool
        self._packer = Packer()
        self._skip = 0
        self._skipping = 1
        self.raw_total = 0
        """Bytes that went into blocks."""
        self.packed_total = 0
        """Bytes of those blocks."""

    def flush(self) -> None:
        inner = self.inner
        inner.flush()
        while self.outbound and not self.underway and inner.backlog < _AHEAD:
            self._next_block()
            inner.flush()

    def _next_block(self) -> None:
        queue = self.outbound
        pieces: list[Buffer] = []
        size = 0
        while queue and size < MAX_RAW:
            piece = queue.first(MAX_RAW - size)
            pieces.append(piece)
            size += len(piece)
            queue.sent(len(piece))
        if self._skip:
            self._skip -= 1
            self._send(pieces, size, None)
        elif size <= _ON_THE_LOOP:
            self._packed(pieces, size, self._packer.pack(b"".join(pieces)))
        else:
            self.underway = size
            self._pool.submit(
                self, partial(self._packer.pack, b"".join(pieces)), partial(self._later, pieces, size)
            )

    def _later(self, pieces: list[Buffer], size: int, content: bytes | OSError | None) -> None:
        self.underway = 0
        if not self.closed:
            self._packed(pieces, size, None if isinstance(content, OSError) else content)
            self.when_ready()

    def _packed(self, pieces: list[Buffer], size: int, content: bytes | None) -> None:
        if content is None:
            self._skip = self._skipping
            self._skipping = min(self._skipping * 2, _MOST_SKIPPED)
        else:
            self._skipping = 1
        self._send(pieces, size, content)

    def _send(self, pieces: list[Buffer], size: int, content: bytes | None) -> None:
        below = self.inner.outbound
        if content is None:
            below.append(compression.header(RAW, size, size))
            for piece in pieces:
                below.append(piece)
        else:
            below.append(compression.header(ZSTD, size, len(content)) + content)
        self.raw_total += size
        self.packed_total += HEADER.size + (size if content is None else len(content))


class UnpackingChannel(ChannelLayer):
    """`Channel` that unpacks what it receives, and sends as the channel below does."""

    def __init__(self, inner: Channel) -> None:
        super().__init__(inner)
        self._unpacker = Unpacker()
        # One whole block and the beginning of the next: a read never has to wait for room.
        self._buffer = memoryview(bytearray(2 * (HEADER.size + MAX_RAW)))
        self._start = 0
        self._end = 0
        self._open = memoryview(b"")

    def recv_into(self, view: memoryview) -> int:
        """As `Channel.recv_into`; raises ProtocolError for a block that is none."""
        filled, ended = 0, False
        while filled < len(view):
            taken = min(len(self._open), len(view) - filled)
            if taken:
                view[filled : filled + taken] = self._open[:taken]
                self._open = self._open[taken:]
                filled += taken
            elif self._next_block():
                continue
            elif ended:
                return filled or NOTHING
            else:
                room = self._room()
                size = self.inner.recv_into(room)
                if size <= 0:
                    return filled or size  # an end, if that was one, comes again
                self._end += size
                ended = size < len(room)
        return filled

    def _next_block(self) -> bool:
        """Opens the next block if all of it is here."""
        begins = self._start + HEADER.size
        if self._end < begins:
            return False
        kind, raw, content = compression.decode_header(self._buffer, self._start)
        if self._end < begins + content:
            return False
        self._start = begins + content
        self._open = memoryview(self._unpacker.open(kind, raw, self._buffer[begins : self._start]))
        return True

    def _room(self) -> memoryview:
        """Where to receive; called only while no block refers to the buffer."""
        have = self._end - self._start
        if self._start:
            self._buffer[:have] = self._buffer[self._start : self._end]
            self._start, self._end = 0, have
        return self._buffer[have:]

    def close(self) -> None:
        self._open = memoryview(b"")
        super().close()
