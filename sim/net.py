"""Lines between sites, and connections over them: bytes that are late, held, swallowed or replayed.

Within a connection bytes keep their order and are never corrupted, as TCP and the checksums of the
line promise. Across connections nothing is promised: what was sent on an old one may arrive while a
new one is up, an end may stay silent forever without anybody telling the other (half-open), and
what a feeder once said may be said again to the follower on a connection of somebody else's.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from sim.world import Life, World

WINDOW: Final = 192 << 10
"""Bytes that one direction of a wide line takes before its reader has read them."""
_RECORDED: Final = 256 << 10
_FOREVER: Final = 1e9


class Reader(Protocol):
    """A process that holds an end."""

    def opened(self, end: End) -> None:
        """The connection that it asked for is up."""

    def arrived(self, end: End) -> None:
        """Bytes stand in `end.inbox`."""

    def lost(self, end: End, why: str) -> None:
        """The connection is gone and the system said so."""

    def roomy(self, end: End) -> None:
        """The end takes more bytes again."""


class Listener(Protocol):
    """A process that accepts connections."""

    def accept(self, end: End) -> Reader:
        """A connection has come in; nothing has been read from it yet."""


class End:
    """One end of a connection."""

    __slots__ = ("_arrival", "closed", "connection", "inbox", "life", "other", "reader", "stopped", "unread")

    def __init__(self, connection: Connection, life: Life, reader: Reader | None) -> None:
        self.connection = connection
        self.life = life
        self.reader = reader
        self.inbox = bytearray()
        self.closed = False
        self.stopped = False
        """Bytes towards this end are swallowed from now on."""
        self.unread = 0
        """Bytes that were sent to this end and that its reader has not read."""
        self.other: End = self
        self._arrival = 0.0

    def room(self) -> int:
        """How many bytes the other direction takes right now."""
        return 0 if self.closed else max(0, self.connection.net.window - self.other.unread)

    def send(self, data: bytes) -> None:
        """Towards the other end. The caller keeps to `room`."""
        if not self.closed and data:
            self.connection.carry(self, data)

    def used(self, count: int) -> None:
        """`count` bytes that were taken out of the inbox need no room any more."""
        before, self.unread = self.unread, self.unread - count
        if before >= self.connection.net.window > self.unread and self.other.life.alive:
            net = self.connection.net
            net.world.after(net.delay(), self.other.life, net.roomy, self.other)

    def close(self) -> None:
        """Ends the connection from this side, after everything that was sent."""
        if not self.closed:
            self.closed = True
            self.connection.end_from(self)

    def deliver(self, data: bytes) -> None:
        if self.closed or self.stopped or self.reader is None:
            return
        self.inbox += data
        self.reader.arrived(self)

    def hang_up(self, why: str) -> None:
        """The system tells this end that the connection is gone."""
        if self.closed or self.reader is None:
            return
        self.closed = True
        self.reader.lost(self, why)

    def arrival(self, earliest: float) -> float:
        """When the next bytes arrive, never before those sent earlier."""
        self._arrival = max(self._arrival, earliest)
        return self._arrival


class Connection:
    """Two ends, and what the feeder said, for a replay."""

    __slots__ = ("follower", "held_until", "key", "net", "opener", "said")

    def __init__(self, net: Net, key: bytes, opener: End | None = None) -> None:
        self.net = net
        self.key = key
        self.said = bytearray()
        self.held_until = 0.0
        """What is sent before then arrives after it (a stalled route, retransmissions)."""
        self.opener = self.follower = opener or End(self, Life("nobody"), None)

    def carry(self, sender: End, data: bytes) -> None:
        if sender is self.opener and len(self.said) < _RECORDED:
            self.said += data
        sender.other.unread += len(data)
        random = self.net.world.random
        cut = random.randrange(len(data)) if len(data) > 1 and random.random() < 0.2 else 0
        if cut:
            self._later(sender.other, sender.other.deliver, data[:cut])
        self._later(sender.other, sender.other.deliver, data[cut:])

    def end_from(self, sender: End) -> None:
        self._later(sender.other, sender.other.hang_up, "the peer closed the connection")

    def _later(self, towards: End, do: object, argument: object) -> None:
        net = self.net
        if towards.stopped:
            return
        when = towards.arrival(max(net.world.now, self.held_until) + net.delay())
        net.world.after(when - net.world.now, towards.life, do, argument)  # type: ignore[arg-type]


class Line:
    """The way between two sites, as of now; `key` is that of the link that uses it."""

    __slots__ = ("connections", "held_until", "key", "up")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.up = True
        self.held_until = 0.0
        """No new connection succeeds before then."""
        self.connections: deque[Connection] = deque(maxlen=8)
        """The newest ones, alive or not."""


class Net:
    """All lines of a run."""

    def __init__(self, world: World, slow: float, window: int = WINDOW) -> None:
        self.world = world
        self.slow = slow
        """The longest ordinary delay, in seconds."""
        self.window = window
        """Bytes that one direction of a connection takes before its reader has read them."""
        self.lines: dict[bytes, Line] = {}
        self.listeners: dict[bytes, tuple[Life, Listener]] = {}

    def delay(self) -> float:
        return self.world.between(0.0002, self.slow)

    def roomy(self, end: End) -> None:
        if not end.closed and end.reader is not None:
            end.reader.roomy(end)

    def connect(self, key: bytes, life: Life, reader: Reader) -> End:
        """Opens a connection over the line of this key; `reader` gets `opened`, or `lost`, unless the
        end is closed before."""
        connection = Connection(self, key)
        end = connection.opener = End(connection, life, reader)
        self.world.after(self.delay(), life, self._try, connection, end)
        return end

    def _try(self, connection: Connection, end: End) -> None:
        if end.closed:
            return
        key = connection.key
        line = self.lines[key]
        life, listener = self.listeners.get(key, (Life("nobody"), None))
        late = self.world.now < line.held_until
        if not line.up or late or listener is None or not life.alive:
            silent = late or self.world.chance(0.3)
            self.world.after(0.3 if silent else 0.0, end.life, end.hang_up, "no connection")
            return
        self._join(connection, end, life, listener)
        line.connections.append(connection)
        if end.reader is not None:
            end.reader.opened(end)

    def _join(self, connection: Connection, end: End, life: Life, listener: Listener) -> None:
        follower = connection.follower = End(connection, life, None)
        end.other, follower.other = follower, end
        follower.reader = listener.accept(follower)

    def process_gone(self, life: Life) -> None:
        """A process died: the system closes its connections, as it does for a kill -9."""
        for line in self.lines.values():
            for connection in line.connections:
                for end in (connection.opener, connection.follower):
                    if end.life is life and not end.closed:
                        end.closed = True
                        connection.end_from(end)

    def machine_gone(self, life: Life) -> None:
        """A machine died: its connections say nothing any more, until somebody's patience ends."""
        for line in self.lines.values():
            for connection in line.connections:
                for end in (connection.opener, connection.follower):
                    if end.life is life:
                        end.closed = True
                        end.stopped = True

    def cut(self, key: bytes) -> None:
        """The line is down; connections break, and each end is told sooner, later or never."""
        line = self.lines[key]
        line.up = False
        for connection in line.connections:
            ends = [end for end in (connection.opener, connection.follower) if not end.closed]
            for end in ends:
                end.stopped = True
                if self.world.chance(0.7):
                    self.world.after(self.delay(), end.life, end.hang_up, "the line broke")

    def half_open(self, key: bytes) -> bool:
        """One direction, or both, of the live connection swallows everything from now on."""
        connection = self.live(key)
        if connection is None:
            return False
        ends = [connection.opener, connection.follower]
        which = self.world.random.randrange(3)
        for end in ends if which == 2 else [ends[which]]:
            end.stopped = True
        return True

    def hold(self, key: bytes, duration: float) -> None:
        """Nothing of the connections there are arrives for a while, and then all of it; new ones may
        be up by then, or may have to wait as well."""
        line, until = self.lines[key], self.world.now + duration
        for connection in line.connections:
            connection.held_until = until
        if self.world.chance(0.4):
            line.held_until = until

    def heal(self, key: bytes) -> None:
        """New connections succeed again."""
        self.lines[key].up = True

    def live(self, key: bytes) -> Connection | None:
        """The newest connection, if both of its ends believe in it."""
        connections = self.lines[key].connections
        if not connections or connections[-1].opener.closed or connections[-1].follower.closed:
            return None
        return connections[-1]

    def replay(self, key: bytes) -> bool:
        """Says to the follower, on a new connection, what a feeder said on an earlier one."""
        line = self.lines[key]
        life, listener = self.listeners.get(key, (Life("nobody"), None))
        if listener is None or not life.alive or not line.connections:
            return False
        old = self.world.random.choice(list(line.connections))
        said = bytes(old.said[: self.world.random.randint(1, max(1, len(old.said)))])
        connection = Connection(self, key)
        end = connection.opener = End(connection, Life("replay"), _Nobody())
        self._join(connection, end, life, listener)
        for at in range(0, len(said), 4096):
            end.send(said[at : at + 4096])
        self.world.after(1.0, end.life, end.close)
        return True


class _Nobody:
    """Reads everything and does nothing with it."""

    def opened(self, end: End) -> None:
        """Whoever replays does not care."""

    def arrived(self, end: End) -> None:
        end.used(len(end.inbox))
        end.inbox.clear()

    def lost(self, end: End, why: str) -> None:
        """Whoever replays does not care."""

    def roomy(self, end: End) -> None:
        """Whoever replays does not care."""
