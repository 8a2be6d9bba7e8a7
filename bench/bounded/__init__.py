"""Figures that are held against a computed bound, not against another program (S6, S7, S8).

Each scenario is one module that takes a `Ground` and gives an `Outcome`. The line between the nodes is the
one that the tests use (`tests.network`).
"""
