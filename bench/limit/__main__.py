"""Start one process of the limit: `python -m bench.limit replica|primary ...`."""

import argparse

from bench.limit import primary, replica


def main() -> None:
    """Run until the other side leaves (replica) or until killed (primary)."""
    parser = argparse.ArgumentParser(prog="python -m bench.limit", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    second = parts.add_parser("replica", help="prints the port that it listens on")
    second.add_argument("volume")
    first = parts.add_parser("primary", help="prints `ready` when a client may come")
    first.add_argument("volume")
    first.add_argument("--socket", required=True)
    first.add_argument("--replica-port", type=int, required=True)
    given = parser.parse_args()
    if given.part == "replica":
        replica.run(given.volume)
    else:
        primary.run(given.volume, given.socket, given.replica_port)


if __name__ == "__main__":
    main()
