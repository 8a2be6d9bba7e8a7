"""The demo: two sites on this machine, a line between them that can be cut, an application, and proofs.

It uses the product as an operator and an application would: through the command line, the client library
and NBD. It brings its own small NBD client and its own line, so that a fresh machine needs nothing else.
"""
