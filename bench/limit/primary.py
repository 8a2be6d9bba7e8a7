"""The first process of the limit: one NBD client at a time, every batch forwarded as one piece.

A turn: receive what is there, parse all complete requests, send their bytes to the replica as they
lie in the buffer, write them locally, go back to waiting. Answers are prepared while parsing and
leave in one send when the replica's count covers them. The sends block: the replica never waits
for us, since its counts are small, so this cannot lock up.
"""

import os
import select
import socket
import struct

from bench.limit.handshake import ClientLeft, negotiate
from bench.limit.requests import (
    BUFFER,
    COUNT,
    DISCONNECT,
    FLUSH,
    FUA,
    HEADER,
    HEADER_SIZE,
    READ,
    WINDOW,
    WRITE,
)

_DONE = struct.pack(">II", 0x67446698, 0)
_ANSWER_SIZE = 16


class ReplicaLeft(Exception):
    """The replica closed the line: nothing can be answered any more."""


class Primary:
    """The volume, the line to the replica and the counts, which outlive a client."""

    __slots__ = ("acknowledged", "answers", "buffer", "counts", "forwarded", "link", "view", "volume")

    def __init__(self, path: str, link: socket.socket) -> None:
        self.volume = os.open(path, os.O_RDWR)
        self.link = link
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.counts = bytearray()
        self.answers = bytearray()
        self.forwarded = 0
        self.acknowledged = 0

    def serve(self, client: socket.socket) -> None:
        """Carry out the client's requests until it disconnects."""
        negotiate(client, os.fstat(self.volume).st_size)
        line, held, window = self.link.fileno(), 0, WINDOW
        with select.epoll() as epoll:
            epoll.register(client.fileno(), select.EPOLLIN)
            epoll.register(line, select.EPOLLIN)
            while True:
                for descriptor, _ in epoll.poll():
                    if descriptor == line:
                        covered = self._acknowledged() * _ANSWER_SIZE
                        client.sendall(self.answers[:covered])
                        del self.answers[:covered]
                        continue
                    received = client.recv_into(self.view[held : held + window])
                    if not received:
                        raise ClientLeft
                    held, window = self._turn(client, held + received)

    def settle(self) -> None:
        """Wait for what a client has left under way, so that the next one's answers are its own."""
        while self.acknowledged != self.forwarded:
            self._acknowledged()
        self.answers.clear()

    def _acknowledged(self) -> int:
        """Take what the replica says; how many more requests it has carried out."""
        news = self.link.recv(4096)
        if not news:
            raise ReplicaLeft
        counts = self.counts
        counts += news
        whole = len(counts) // COUNT.size * COUNT.size
        if not whole:
            return 0
        (total,) = COUNT.unpack_from(counts, whole - COUNT.size)
        del counts[:whole]
        more: int = total - self.acknowledged
        self.acknowledged = total
        return more

    def _turn(self, client: socket.socket, end: int) -> tuple[int, int]:
        """Carry out all whole requests below `end`; how many bytes to keep, and to take at the next turn."""
        buffer, view, answers = self.buffer, self.view, self.answers
        unpack = HEADER.unpack_from
        position = first = 0
        window = WINDOW
        writes = []
        durable = False
        while end - position >= HEADER_SIZE:
            _, flags, kind, _, offset, length = unpack(buffer, position)
            following = position + HEADER_SIZE
            if kind == WRITE:
                following += length
                if following > end:
                    if length >= WINDOW:
                        window = following - end
                    break
                writes.append((position + HEADER_SIZE, following, offset))
            elif kind == READ:
                self._forward(first, position, writes, durable)
                writes, durable, first = [], False, following
                cookie = view[position + 8 : position + 16]
                client.sendall(b"".join((_DONE, cookie, os.pread(self.volume, length, offset))))
                position = following
                continue
            elif kind == DISCONNECT:
                self._forward(first, position, writes, durable)
                raise ClientLeft
            durable = durable or kind == FLUSH or flags & FUA != 0
            answers += _DONE
            answers += view[position + 8 : position + 16]
            position = following
            self.forwarded += 1
        self._forward(first, position, writes, durable)
        held = end - position
        if position and held:
            view[:held] = view[position:end]
        return held, window

    def _forward(self, first: int, end: int, writes: list[tuple[int, int, int]], durable: bool) -> None:
        if first == end:
            return
        view, volume, pwrite = self.view, self.volume, os.pwrite
        self.link.sendall(view[first:end])
        for begin, stop, offset in writes:
            pwrite(volume, view[begin:stop], offset)
        if durable:
            os.fdatasync(volume)


def run(path: str, unix_socket: str, port: int) -> None:
    """Connect to the replica at `port`, print `ready`, serve clients one after another until killed."""
    with (
        socket.create_connection(("127.0.0.1", port)) as link,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        primary = Primary(path, link)
        listener.bind(unix_socket)
        listener.listen()
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            with client:
                try:
                    primary.serve(client)
                except (ClientLeft, ConnectionError):
                    primary.settle()
