"""The NBD protocol as pure functions and state machines: bytes in, decisions out.

The server's half: `negotiation` speaks until an export is chosen, `transmission` reads requests after that,
`replies` and `block_status` build the answers. The client's half is `client`. Names are the protocol's
(doc/proto.md of NetworkBlockDevice/nbd). Nothing here owns a socket, a file or a clock.
"""
