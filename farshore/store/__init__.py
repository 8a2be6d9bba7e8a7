"""Durable things: volumes, and the records of a copy's state directory.

Records are written through the injected file layer of `farshore.store.platform`, which the
simulator replaces by one that loses, tears and fails; volumes have their own descriptors. This room
decides nothing about order between records: it does what `farshore.core` asked for, durably, and
says when that cannot be known. Formats are described in `docs/formats.md`.
"""
