"""Benchmarks: Farshore beside the programs that do a part of the same job, in turn, on one machine.

Run by `make bench` or `python -m bench`; docs/benchmarks.md says how to read the results.
"""
