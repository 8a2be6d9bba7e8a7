"""The server's half of the NBD protocol as pure functions and state machines: bytes in, decisions out.

`negotiation` speaks until an export is chosen, `transmission` reads requests after that, `replies` and
`block_status` build the answers. Names are the protocol's (doc/proto.md of NetworkBlockDevice/nbd).
Nothing here owns a socket, a file or a clock; the engine's NBD server carries the bytes.
"""
