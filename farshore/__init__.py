"""Farshore replicates block volumes between sites.

This package opens nothing and imports nothing: the engine, the node and the command line each
import the rooms that they need, and no more (the import contracts in `.importlinter` hold that).
"""

__version__ = "0.1.0"
