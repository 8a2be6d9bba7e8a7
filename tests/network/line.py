"""A line for tests: starts the proxy as a process of its own, tells it what to do, ends it.

    with Line("127.0.0.1:7411") as line:
        connect(line.address)
        line.cut()

`forward` is the direction from whoever connects to the line to where it leads.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Direction = Literal["both", "forward", "back"]

_CHECKOUT = Path(__file__).parents[2]
_LIMIT_S = 10.0


class Line:
    """A line to `to` (HOST:PORT). Orders take effect before they return."""

    def __init__(self, to: str, *, listen: str = "127.0.0.1:0", limit: int = 16 << 20) -> None:
        self._room = Path(tempfile.mkdtemp(prefix="line-", dir="/tmp"))  # a short path: sockets need one
        control = str(self._room / "control")
        command = [sys.executable, "-m", "tests.network.proxy", "--while-stdin", "--limit", str(limit)]
        self._process = subprocess.Popen(
            [*command, "--listen", listen, "--to", to, "--control", control],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._control = socket.socket(socket.AF_UNIX)
        self._answers = self._control.makefile("r")
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        """Where to connect, HOST:PORT. It stays the same for the life of the line."""
        if not self.address:
            self.close()
            raise RuntimeError(f"the line to {to} could not be opened at {listen}")
        self._control.settimeout(_LIMIT_S)
        self._control.connect(control)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        """The host of `address`."""
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port of `address`."""
        return int(self.address.rpartition(":")[2])

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until healed."""
        self._order("cut")

    def heal(self) -> None:
        """Let everything through again, at the delay and rate that were set; reset what has a hole."""
        self._order("heal")

    def delay(self, ms: float, direction: Direction = "both") -> None:
        """Let every byte from now on take `ms` milliseconds one way, to about 0.1 ms."""
        self._order("delay", ms=ms, direction=direction)

    def rate(self, bytes_per_s: float | None, direction: Direction = "both") -> None:
        """Let through so many bytes a second, over all connections; None for no bound."""
        self._order("rate", bytes_per_s=bytes_per_s, direction=direction)

    def half_open(self, direction: Direction = "both") -> None:
        """Swallow what is sent and tell nobody. New connections are accepted and lead nowhere."""
        self._order("half_open", direction=direction)

    def stall(self, direction: Direction = "both") -> None:
        """Hold what is sent and tell nobody; it goes on after healing."""
        self._order("stall", direction=direction)

    def transferred(self) -> tuple[int, int]:
        """Bytes handed over so far: forward, back."""
        found = self._order("transferred")
        return found["forward"], found["back"]

    def connections(self) -> int:
        """How many connections the line has."""
        count: int = self._order("transferred")["connections"]
        return count

    def close(self) -> None:
        """End the proxy. Its connections end with it."""
        self._answers.close()
        self._control.close()
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._room, ignore_errors=True)

    def _order(self, word: str, **details: object) -> dict[str, Any]:
        self._control.sendall(json.dumps({"do": word, **details}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        if not answer["ok"]:
            raise ValueError(answer["error"])
        return answer
