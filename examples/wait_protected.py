"""Waits until a group is protected: every link replicates, and the peer has all of it on its disk.

    python examples/wait_protected.py GROUP [SECONDS]

Speaks to the node of this user, or to the one that FARSHORE_STATE or FARSHORE_API names. Exit codes:
0 protected, 7 not within SECONDS (60), 8 the copies have diverged, else as `docs/errors.md` lists them.
`farshore wait GROUP` does the same at the command line; this is for programs that do more than wait.
"""

import sys
import threading
import time

from farshore.client import Node
from farshore.client.answers import Group
from farshore.errors import FarshoreError

TIMED_OUT, DIVERGED = 7, 8


def look(node: Node, name: str) -> Group:
    """The group as it is now. Raises FarshoreError `not-found`, or `unreachable` where no node answers."""
    return next(group for group in node.status(name).groups if group.name == name)


def safe(group: Group) -> bool:
    """`protected` says that every write is sent in order; no dirty bytes, that the peers' disks have all."""
    return group.health == "protected" and all(link.dirty_bytes == 0 for link in group.links)


def wait_until_protected(node: Node, name: str, seconds: float) -> Group:
    """The group's last state, protected or not; asks the node a few times a second."""
    deadline = time.monotonic() + seconds
    pulse = threading.Event()
    group = look(node, name)
    while not safe(group) and group.health != "diverged" and time.monotonic() < deadline:
        pulse.wait(0.2)
        group = look(node, name)
    return group


def main(arguments: list[str]) -> int:
    name, seconds = arguments[0], float(arguments[1]) if len(arguments) > 1 else 60.0
    try:
        group = wait_until_protected(Node(), name, seconds)
    except FarshoreError as error:
        print(f"{error.what}; next: {error.next_step}", file=sys.stderr)
        return error.code.exit_code
    if safe(group):
        print(f"{name} is protected")
        return 0
    print(f"{name} is {group.health}: {group.why}; next: {group.next}", file=sys.stderr)
    return DIVERGED if group.health == "diverged" else TIMED_OUT


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: wait_protected.py GROUP [SECONDS]")
    sys.exit(main(sys.argv[1:]))
