"""S-device: a volume as a block device, ours beside nbdfuse with a loop device, both on the same engine.

The application is fio's libaio engine with O_DIRECT on the loop device, so the figures are those of the way
through the kernel, the process in between, the engine, and back. Both loop devices have direct I/O. Nothing
has a bound: the ratios are shown. Needs root.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.bounded.ground import Ground
from bench.bounded.outcome import Outcome, Row
from bench.bounded.turns import play
from bench.contenders.base import CannotStart, Processes, program
from bench.contenders.sites import Group
from bench.fio import FioFailed, Measure, figures
from bench.rounds import Effort

TITLE = "a block device: ours beside nbdfuse and a loop device, on one engine without links"
OURS, NBDFUSE = "device", "nbdfuse + loop"
_SPARE = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What fio does. `latency`: that is what is shown, not throughput."""

    name: str
    rw: str
    block_bytes: int
    depth: int
    latency: bool = False


LOADS = tuple(
    Load(f"{size} {what}, depth {depth}", f"rand{kind}", block, depth, latency=depth == 1)
    for size, block, depth in (("4 KiB", 4096, 1), ("4 KiB", 4096, 32), ("1 MiB", 1 << 20, 4))
    for what, kind in (("writes", "write"), ("reads", "read"))
)


@dataclass(frozen=True, slots=True)
class _Block:
    """A load on a block device that is there."""

    path: str
    load: Load
    volume_bytes: int

    def start(self) -> None:
        """It was made before."""

    def run(self, seconds: float) -> Measure:
        """One run of fio."""
        fio = program("fio", "fio")
        load = self.load
        command = [fio, "--name=load", "--ioengine=libaio", "--direct=1", f"--filename={self.path}"]
        command += [f"--rw={load.rw}", f"--bs={load.block_bytes}", f"--iodepth={load.depth}"]
        command += [f"--size={self.volume_bytes}", "--randrepeat=0", "--norandommap=1"]
        command += ["--time_based", f"--runtime={round(seconds * 1000)}ms", "--output-format=json"]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds + _SPARE, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise FioFailed(f"fio did not end within {seconds + _SPARE:.0f} s") from late
        if ended.returncode:
            raise FioFailed(
                f"fio ended with code {ended.returncode}: {(ended.stderr or ended.stdout)[-300:]}"
            )
        return figures(ended.stdout, side=load.rw.removeprefix("rand"))


class _Devices:
    """Both block devices on the volume at `uri`; gone after `stop`."""

    def __init__(self, uri: str, volume_bytes: int) -> None:
        self._stack = ExitStack()
        self._room = Path(tempfile.mkdtemp(prefix="fb-device-", dir="/tmp"))
        self._stack.callback(shutil.rmtree, self._room)
        self._uri = uri
        self._volume_bytes = volume_bytes

    def ours(self) -> str:
        """A device process; the path of its loop device."""
        parts = urlsplit(self._uri)
        name = parts.path.removeprefix("/")
        document = {
            "version": 1,
            "id": "0" * 16,
            "group": "bench",
            "volume": name,
            "socket": parse_qs(parts.query)["socket"][0],
            "export": name,
            "size": self._volume_bytes,
            "identity": "",
            "mount": str(self._room / "ours"),
            "control": str(self._room / "ctl"),
            "way": "loop",
        }
        (self._room / "device.json").write_text(json.dumps(document))
        processes = Processes(self._room / "device.log")
        self._stack.callback(processes.stop)
        process = processes.start([sys.executable, "-m", "farshore.device", str(self._room)])
        processes.until(process, (self._room / "ctl").exists)
        return _loop_on(self._room / "ours" / name)

    def nbdfuse(self) -> str:
        """nbdfuse, and a loop device on its file."""
        file = self._room / "nbdfuse"
        file.touch()
        processes = Processes(self._room / "nbdfuse.log")
        self._stack.callback(processes.stop)
        process = processes.start([program("nbdfuse", "libnbd-bin"), str(file), self._uri])
        processes.until(process, lambda: file.stat().st_size == self._volume_bytes)
        made = _said("losetup", "--find", "--show", "--direct-io=on", str(file))
        self._stack.callback(_said, "losetup", "--detach", made)
        return made

    def stop(self) -> None:
        """Ends both."""
        self._stack.close()


def run(ground: Ground, effort: Effort, say: Callable[[str], None]) -> Outcome:
    """Measure each load on both, in turn."""
    sites = ground.beside()
    devices = _Devices(sites.group(Group("s-device", None)), ground.volume_bytes)
    try:
        paths = {OURS: devices.ours(), NBDFUSE: devices.nbdfuse()}
        parties = {
            f"{who}, {load.name}": _Block(path, load, ground.volume_bytes)
            for load in LOADS
            for who, path in paths.items()
        }
        turns = play(parties, effort, say)
    except (CannotStart, OSError) as why:
        return Outcome("S-device", TITLE, (), (str(why),))
    finally:
        devices.stop()
    rows: list[Row] = []
    for load in LOADS:
        names = [f"{who}, {load.name}" for who in (OURS, NBDFUSE)]
        for name in names:
            rows += turns.row(name, "µs, mean" if load.latency else "MB/s", partial(_figure, load))
        rows += beside(load, turns.together(*names))
    return Outcome("S-device", TITLE, tuple(rows), turns.gaps)


def beside(load: Load, rounds: list[tuple[Measure, ...]]) -> list[Row]:
    """The ratio of the two, round by round, so that more is better for ours."""
    ratios = tuple(ours.iops / other.iops for ours, other in rounds)
    return [Row(load.name, f"{OURS} over {NBDFUSE}, times the IOPS", ratios)] if ratios else []


def _figure(load: Load, each: Measure) -> float:
    return each.mean_us if load.latency else each.bytes_per_second / 1e6


def _loop_on(file: Path) -> str:
    listed = json.loads(_said("losetup", "--list", "--json", "--output", "NAME,BACK-FILE"))
    (found,) = [each["name"] for each in listed["loopdevices"] if each["back-file"] == str(file)]
    return str(found)


def _said(name: str, *words: str) -> str:
    ended = subprocess.run([program(name, "mount"), *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise CannotStart(f"{name}: {ended.stderr.strip()}")
    return ended.stdout.strip()
