"""Bytes from and to other processes: frames, link messages, prefaces, the control socket, NBD.

Pure: no I/O, clock or randomness. Whatever comes from outside and breaks a format ends in
`farshore.errors.ProtocolError` and in nothing else. Formats are described in `docs/formats.md`.
"""
