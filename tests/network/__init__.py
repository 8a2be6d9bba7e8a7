"""A network in one machine: a line between two nodes that tests can slow down, cut and heal."""
