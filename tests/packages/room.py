"""A root of its own for a package: this machine's files below a layer that is thrown away.

Commands run in a mount and a process namespace whose root is an overlay in memory; what they change, the
package database too, are copies. With its first process everything in it ends.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

_LIMIT_S = 120
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": _PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
_INIT = """
import os, signal, subprocess, sys
upper, merged = sys.argv[1:]
def mount(*words): subprocess.run(["mount", *words], check=True)
mount("--make-rprivate", "/")
mount("-t", "tmpfs", "tmpfs", upper)
for name in ("upper", "work"):
    os.mkdir(f"{upper}/{name}")
layers = f"lowerdir={sys.stdin.readline().strip()},upperdir={upper}/upper,workdir={upper}/work"
mount("-t", "overlay", "overlay", "-o", layers, merged)
mount("-t", "proc", "proc", f"{merged}/proc")
mount("--rbind", "/dev", f"{merged}/dev")
for place in ("run", "tmp", "var/lib/farshore"):
    os.makedirs(f"{merged}/{place}", exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", f"{merged}/{place}")
os.chroot(merged)
os.chdir("/")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""


def possible() -> bool:
    """Whether this user, on this kernel, may make namespaces and overlays."""
    with tempfile.TemporaryDirectory(prefix="farshore-room-") as place:
        layers = f"lowerdir=/,upperdir={place}/m/u,workdir={place}/m/w"
        steps = (
            f"mkdir {place}/m {place}/o",
            f"mount -t tmpfs tmpfs {place}/m",
            f"mkdir {place}/m/u {place}/m/w",
            f"mount -t overlay overlay -o {layers} {place}/o",
        )
        words = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", " && ".join(steps)]
        return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0


class Room:
    """Use it in a with statement; as root."""

    def __init__(self, below: Path = Path("/")) -> None:
        """`below`: the files that are there in the beginning."""
        self._below = below
        self._place = Path(tempfile.mkdtemp(prefix="farshore-room-"))

    def __enter__(self) -> Self:
        upper, merged = self._place / "upper", self._place / "merged"
        upper.mkdir()
        merged.mkdir()
        namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        self._init = subprocess.Popen(
            [*namespaces, sys.executable, "-c", _INIT, upper, merged],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdin is not None
        assert self._init.stdout is not None
        self._init.stdin.write(f"{self._below}\n")
        self._init.stdin.flush()
        said = self._init.stdout.readline()
        assert said == "ready\n", said
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        self._first = children[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._init.kill()
        self._init.wait(30)
        for stream in (self._init.stdin, self._init.stdout):
            assert stream is not None
            stream.close()
        shutil.rmtree(self._place)

    def command(self, *words: str | Path) -> list[str]:
        """The same, to be run from outside."""
        return ["nsenter", "-t", self._first, "-m", "-p", "-r", "-w", *map(str, words)]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, however it ends."""
        return subprocess.run(
            self.command(*words),
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "DEBIAN_FRONTEND": "noninteractive",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )

    def done(self, *words: str | Path) -> str:
        """Runs a command inside that has to succeed; what it wrote to stdout."""
        ended = self.run(*words)
        assert ended.returncode == 0, f"{words}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def put(self, source: Path, goal: str) -> None:
        """Copies a file inside."""
        with source.open("rb") as file:
            subprocess.run(
                self.command("tee", goal), stdin=file, stdout=subprocess.DEVNULL, check=True, timeout=60
            )

    def there(self, path: str) -> bool:
        """Whether a path exists inside."""
        return self.run("test", "-e", path).returncode == 0
