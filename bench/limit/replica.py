"""The second process of the limit: carries out forwarded requests in order and says how many it has done.

One connection, then the end. One answer per receive, however many requests that held.
"""

import os
import socket

from bench.limit.requests import (
    BUFFER,
    COUNT,
    FLUSH,
    FUA,
    HEADER,
    HEADER_SIZE,
    WINDOW,
    WRITE,
)


def serve(conn: socket.socket, volume: int) -> None:
    """Apply what `conn` sends to the descriptor `volume` until the primary closes."""
    buffer = bytearray(BUFFER)
    view = memoryview(buffer)
    unpack, pwrite = HEADER.unpack_from, os.pwrite
    held = done = 0
    window = WINDOW
    while received := conn.recv_into(view[held : held + window]):
        end = held + received
        position, before, window = 0, done, WINDOW
        while end - position >= HEADER_SIZE:
            _, flags, kind, _, offset, length = unpack(buffer, position)
            following = position + HEADER_SIZE
            if kind == WRITE:
                following += length
                if following > end:
                    if length >= WINDOW:
                        window = min(following - end, 2 * WINDOW)
                    break
                pwrite(volume, view[position + HEADER_SIZE : following], offset)
            if kind == FLUSH or flags & FUA:
                os.fdatasync(volume)
            position = following
            done += 1
        if done != before:
            conn.send(COUNT.pack(done))
        held = end - position
        if position and held:
            view[:held] = view[position:end]


def run(path: str) -> None:
    """Listen on a free port of the loopback interface, print it, serve the one primary that comes."""
    volume = os.open(path, os.O_RDWR)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        conn, _ = listener.accept()
    with conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve(conn, volume)
