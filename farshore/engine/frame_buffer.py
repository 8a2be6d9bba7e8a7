"""The buffer of a large write: received where its frame will have it.

Whoever meets a payload that lies in one knows two things: it has the buffer to itself, so nobody
will write to it while it waits for a disk or a socket, and the frame can be completed around it
without copying it.
"""

from __future__ import annotations


class FrameBuffer(bytearray):
    """Room for a frame of one write."""

    __slots__ = ()


def frame_buffer_of(payload: object) -> FrameBuffer | None:
    """The buffer that a payload lies in, None if it is not one of these."""
    if type(payload) is memoryview and type(payload.obj) is FrameBuffer:
        return payload.obj
    return None
