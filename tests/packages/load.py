"""Somebody who writes to a volume all the time, while packages come and go."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.waiting import wait_until

PROGRAM = Path(__file__).with_name("writer.py")
WRITER = "/tmp/writer.py"
"""Where that program has to be put."""
PYTHON = "/usr/lib/farshore/bin/python"
"""The package's own."""
_WAIT_S = 60.0


class Load:
    """Somebody who writes all the time, to a URI or the path of a device or a file. `command` makes a command
    that runs inside of one that is run from outside."""

    def __init__(self, command: Callable[..., list[str]], name: str, what: str) -> None:
        self._inside = command
        self._progress, self._stop = f"/tmp/{name}-progress", f"/tmp/{name}-stop"
        words = command(PYTHON, WRITER, what, self._progress, self._stop)
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        self.goes_on()

    def _rounds(self) -> int:
        assert self._process.poll() is None, self._process.communicate()[1]
        said = subprocess.run(
            self._inside("cat", self._progress), capture_output=True, text=True, timeout=60, check=False
        )
        return int((said.stdout.split() or ["0"])[0])

    def goes_on(self) -> None:
        """Waits until more has been written than by now."""
        before = self._rounds()
        wait_until(lambda: self._rounds() > before, _WAIT_S, what="the load to go on")

    def end(self) -> str:
        """Everything that was written was acknowledged. How many rounds, and the longest."""
        subprocess.run(self._inside("touch", self._stop), check=True, timeout=60)
        _, said = self._process.communicate(timeout=_WAIT_S)
        assert self._process.returncode == 0, said
        told = subprocess.run(
            self._inside("cat", self._progress), capture_output=True, check=True, timeout=60
        )
        return "{} rounds, the longest {} s".format(*told.stdout.decode().split())
