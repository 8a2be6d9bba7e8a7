"""Runs inside a room, with the package's own Python: writes to a volume and reads back until told to stop.

    python writer.py URI PROGRESS STOP

PROGRESS holds the number of rounds, STOP ends it by being there. An error of any kind is its end, and exit 1.
"""

import os
import sys

from farshore.demo.nbd_client import NbdClient

_BLOCK = 16 << 10


def main(uri: str, progress: str, stop: str) -> None:
    client = NbdClient(uri)
    rounds = 0
    while not os.path.exists(stop):  # noqa: PTH110 - as little as can be between two rounds
        at = rounds % (client.size // _BLOCK) * _BLOCK
        content = rounds.to_bytes(8, "little") * (_BLOCK // 8)
        client.write(at, content)
        if rounds % 50 == 0:
            client.flush()
            if client.read(at, _BLOCK) != content:
                raise SystemExit(f"round {rounds} reads back as something else")
            with open(progress, "w", encoding="ascii") as file:
                file.write(str(rounds))
        rounds += 1
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
