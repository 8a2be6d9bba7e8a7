"""The limit: the least work that synchronous replication of a volume can cost in plain Python.

Two processes. `primary` takes one NBD client on a Unix socket, hands every batch of requests to
`replica` over TCP as one piece, writes locally meanwhile, and answers when the replica has said
that it wrote. There is no checksum, no log, no second client, no recovery and no encryption: it is
a figure to compare with, never a way to keep data.
"""
