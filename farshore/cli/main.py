"""Where `farshore` begins: the short way for a plain `status`, the whole command line for everything else.

`farshore status` answers within three times the start of Python, and importing click alone would use that
up; so a `status` without further options is recognised by hand and takes the few modules of `quick`. What
the short way does not fully understand it leaves alone, and the whole command line does it again from the
start: there is one meaning of every command, and one place for its errors.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """The console script: does what the process's arguments say and returns the exit code."""
    arguments = sys.argv[1:]
    if "status" in arguments:
        from farshore.cli import quick

        if quick.run(arguments):
            # All is written and nothing is open: taking the interpreter apart would only take time.
            os._exit(0)
    return run(arguments)


def run(arguments: Sequence[str]) -> int:
    """Does what `arguments` say, the long way, and returns the exit code."""
    from farshore.cli import root

    return root.run(arguments)
