"""What both processes of the limit know of an NBD request, and how much of a stream they take at once.

The replica gets the client's own bytes, so both sides parse the same layout. A window of 64 KiB
keeps a batch in the processor's cache and hands the replica its share early; a request that is
larger than the window is received up to its own end, so that nothing of the next one has to be moved.
"""

import struct

HEADER = struct.Struct(">IHHQQI")
"""magic, flags, kind, cookie, offset, length."""
HEADER_SIZE = HEADER.size
READ, WRITE, DISCONNECT, FLUSH = range(4)
FUA = 1

WINDOW = 64 * 1024
LARGEST = 32 * 1024 * 1024
"""The longest payload that an NBD client may send without being told otherwise."""
BUFFER = LARGEST + HEADER_SIZE + WINDOW

COUNT = struct.Struct("<Q")
"""The replica's answer: how many requests it has carried out since the connection began."""
