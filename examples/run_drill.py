"""Runs a drill on the copy of a group at this node: hands each volume's content to a command, and says how
it went.

    python examples/run_drill.py GROUP COMMAND

COMMAND is run by the shell, once for each volume, with what `nbdcopy` reads from the drill on its standard
input. Speaks to the node of this user, or to the one that FARSHORE_STATE or FARSHORE_API names. Exit codes:
0 if every command exited with 0, 1 if not, else as `docs/errors.md` lists them. `farshore drill run` does
the same for a script that opens the volumes itself.
"""

import shlex
import subprocess
import sys
import time

from farshore.client import Node
from farshore.client.drills import Drill
from farshore.errors import FarshoreError


def tried(drill: Drill, command: str) -> bool:
    """Whether the command likes what each volume holds."""
    liked = True
    for export in drill.exports:
        line = f"nbdcopy {shlex.quote(export.uri)} - | {command}"
        code = subprocess.run(["/bin/sh", "-c", line], check=False).returncode
        print(f"{export.volume}: exit code {code}")
        liked = liked and code == 0
    return liked


def main(group: str, command: str) -> int:
    node, began = Node(), time.monotonic()
    try:
        drill = node.start_drill(group).drill
        ready = time.monotonic() - began
        try:
            passed = tried(drill, command)
        finally:
            node.stop_drill(group)
    except FarshoreError as error:
        print(f"{error.what}; next: {error.next_step}", file=sys.stderr)
        return error.code.exit_code
    age = "unknown" if drill.data_age_seconds is None else f"{drill.data_age_seconds:.1f} s"
    print(f"{'passed' if passed else 'failed'}: writable after {ready:.2f} s, age of the data {age}")
    return 0 if passed else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: run_drill.py GROUP COMMAND")
    sys.exit(main(sys.argv[1], sys.argv[2]))
