"""The outgoing links of a copy at a simulated site: their connections, scoreboards and reads for fills.

Part of a shell: it carries out what the core asks for on behalf of a link, whichever copy the link
belongs to, and tells the core what comes of it. One object serves all processes of its site; `begin`
says that there is a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from xxhash import xxh3_128_digest

from farshore.core import actions as a
from farshore.core.geometry import Geometry
from farshore.core.links import Links
from farshore.core.scoreboard import BoardImage
from farshore.errors import ProtocolError
from farshore.model.messages import Buffer
from farshore.model.options import LinkSpec
from farshore.store.scoreboard_file import ScoreboardFile
from sim.channel import Channel, decode
from sim.files import SimFiles
from sim.net import End
from sim.site import STATE, Site
from sim.steps import Step

LINKS: Final = f"{STATE}/links"


class LinkWitness(Protocol):
    """Sees what comes of a link."""

    def heard_of(self, site: Site, link: bytes, message: object) -> None:
        """A message of a peer was handled."""


def board_path(link: bytes) -> str:
    """Where a link's scoreboard lies."""
    return f"{LINKS}/{link.hex()}.board"


def create_boards(files: SimFiles, geometry: Geometry, links: Sequence[LinkSpec]) -> None:
    """The scoreboards of links to peers of which nothing is known."""
    files.mkdir(LINKS)
    for link in links:
        ScoreboardFile.create(files, board_path(link.id), geometry, dirty=True)


class Outgoing:
    """See the module."""

    def __init__(self, site: Site, geometry: Geometry, witness: Callable[[], LinkWitness]) -> None:
        self._site = site
        self._geometry = geometry
        self._witness = witness
        self.links: Links
        self.boards: dict[bytes, ScoreboardFile] = {}
        self.channels: dict[bytes, Channel] = {}
        self._attempts: dict[bytes, End] = {}
        self.carry: dict[type, Callable[[Any], None]] = {
            a.WriteBoard: self._write_board,
            a.Connect: self._connect,
            a.Close: self.close,
            a.Send: self.send,
            a.ReadRegion: self._read_region,
        }

    # -- the process ------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new process: nobody is connected."""
        self.channels.clear()
        self._attempts.clear()

    def open_board(self, link: bytes) -> BoardImage:
        """Opens a link's scoreboard and says what stands in it. Raises OSError."""
        board = ScoreboardFile.open(self._site.files, board_path(link), self._geometry)
        self.boards[link] = board
        return board.read()

    def report_backlog(self) -> bool:
        """Tells the core how much waits on a channel, if it does not know; False when it knows of all."""
        for link, channel in list(self.channels.items()):
            if channel.backlog != channel.reported:
                channel.reported = channel.backlog
                self._site.turn(self.links.backlog, link, channel.backlog)
                return True
        return False

    # -- connections ------------------------------------------------------------------------------

    def _connect(self, action: a.Connect) -> None:
        self._attempts[action.link] = self._site.net.connect(action.link, self._site.life, self)

    def opened(self, end: End) -> None:
        """The connection is up."""
        link = end.connection.key
        if self._attempts.get(link) is end:
            self.channels[link] = Channel(end)
            self._site.turn(self.links.connected, link)

    def arrived(self, end: End) -> None:
        """Bytes have come in."""
        link = end.connection.key
        if self._attempts.get(link) is not end:
            return
        channel = self.channels[link]
        self.links.heard(link)
        try:
            channel.collect()
            while self._attempts.get(link) is end and (unit := channel.next_unit()) is not None:
                message = decode(*unit)
                self._site.turn(self.links.received, link, message)
                self._witness().heard_of(self._site, link, message)
        except ProtocolError as error:
            channel.abandon()
            self.lost(end, error.what)

    def lost(self, end: End, why: str) -> None:
        """The connection is gone, or never came up."""
        link = end.connection.key
        if self._attempts.get(link) is end:
            self._forget(link)
            self._site.turn(self.links.disconnected, link, why)

    def roomy(self, end: End) -> None:
        """The connection takes more."""
        link = end.connection.key
        if self._attempts.get(link) is end and link in self.channels:
            self.channels[link].pump()
            self._site.drain()

    def _forget(self, link: bytes) -> None:
        self._attempts.pop(link, None)
        self.channels.pop(link, None)

    def send(self, action: a.Send) -> None:
        """A message to a link's peer."""
        if action.channel in self.channels:
            self.channels[action.channel].send_message(action.message)

    def close(self, action: a.Close) -> None:
        """The end of a link's channel."""
        link = action.channel
        if link in self.channels:
            self.channels[link].close()
        elif link in self._attempts:
            self._attempts[link].closed = True
        self._forget(link)

    def send_frames(self, link: bytes, frames: Sequence[Buffer]) -> None:
        """Encoded frames go to the channel of a link."""
        for data in frames:
            if link in self.channels:
                self.channels[link].send_frame(data)

    # -- disks ------------------------------------------------------------------------------------

    def _write_board(self, action: a.WriteBoard) -> None:
        def run() -> None:
            self.boards[action.link].write(action.base, action.peer_copy, action.pages)

        def done(errno: int) -> None:
            self._site.turn(self.links.board_written, action.ticket, errno)

        self._site.steps.begin(f"board:{action.link.hex()}", Step(run, done))

    def _read_region(self, action: a.ReadRegion) -> None:
        """In two parts at two moments: a write in between tears what is read."""
        site, half = self._site, action.length // 2 & ~511 or action.length
        parts: list[bytes] = []
        errors: list[int] = []

        def read(offset: int, length: int) -> None:
            if length and not errors:
                try:
                    parts.append(site.volumes.read(action.volume, offset, length))
                except OSError as error:
                    errors.append(error.errno or 5)

        def first() -> None:
            read(action.offset, half)
            site.world.after(site.world.between(0.0, 0.003), site.life, second)

        def second() -> None:
            read(action.offset + half, action.length - half)
            shown = self._shown(action, b"".join(parts))
            site.turn(self.links.region_read, action.ticket, shown, *errors or [0])

        site.world.after(site.world.between(0.0, 0.003), site.life, first)

    def _shown(self, action: a.ReadRegion, data: bytes) -> bytes | None:
        if action.digest:
            size = self._geometry.region
            return b"".join(xxh3_128_digest(data[at : at + size]) for at in range(0, len(data), size))
        return data if any(data) else None
