"""One run of fio's nbd engine against an NBD URI, and the figures that count out of its JSON.

A run that fio did not finish without an error has no figures: it raises.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SPARE = 60.0
"""Seconds beyond its running time after which a run of fio is given up."""


class FioFailed(Exception):
    """fio could not be run, or met an error; the text has its own words."""


@dataclass(frozen=True, slots=True)
class Job:
    """Random writes of `block_bytes` with `depth` in flight; a flush after each `flush_every` of them."""

    block_bytes: int
    depth: int
    flush_every: int = 0

    def arguments(self) -> list[str]:
        """As fio takes it."""
        load = ["--rw=randwrite", f"--bs={self.block_bytes}", f"--iodepth={self.depth}"]
        fresh = ["--randrepeat=0", "--norandommap=1"]
        return load + fresh + ([f"--fsync={self.flush_every}"] if self.flush_every else [])


@dataclass(frozen=True, slots=True)
class Measure:
    """What the application saw in one run. Latencies are from issue to answer, in microseconds."""

    iops: float
    bytes_per_second: float
    mean_us: float
    p50_us: float
    p99_us: float
    p999_us: float
    queued_early: int | None = None
    """Bytes queued for an asynchronous copy at a third of the run, and near its end."""
    queued_late: int | None = None
    writes: int = 0
    """How many were answered."""

    @property
    def steady(self) -> bool | None:
        """Whether the queue was no deeper near the end than at a third of the run; None without a queue."""
        if self.queued_early is None or self.queued_late is None:
            return None
        return self.queued_late <= self.queued_early


@dataclass(frozen=True, slots=True)
class Run:
    """Where to write, how much of it there is, and for how long."""

    uri: str
    volume_bytes: int
    seconds: float


def measure(job: Job, run: Run, queued: Callable[[], int | None] = lambda: None) -> Measure:
    """Run `job`; `queued` is asked at a third of the run and shortly before its end. Raises FioFailed."""
    fio = shutil.which("fio")
    if fio is None:
        raise FioFailed("fio is not installed (Debian package fio)")
    command = [fio, "--name=load", "--ioengine=nbd", f"--uri={run.uri}", f"--size={run.volume_bytes}"]
    command += ["--time_based", f"--runtime={round(run.seconds * 1000)}ms", "--output-format=json"]
    with subprocess.Popen(
        [*command, *job.arguments()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            early, late = _sampled(process, run.seconds, queued)
            output, complaints = process.communicate(timeout=run.seconds + _SPARE)
        except subprocess.TimeoutExpired as late_run:
            raise FioFailed(f"fio did not end within {run.seconds + _SPARE:.0f} s") from late_run
        finally:
            process.kill()
    if process.returncode:
        raise FioFailed(f"fio ended with code {process.returncode}: {(complaints or output).strip()[-500:]}")
    return figures(output, (early, late))


def _sampled(
    process: "subprocess.Popen[str]", seconds: float, queued: Callable[[], int | None]
) -> tuple[int | None, int | None]:
    """The depth of the queue at a third and at nine tenths of the run; None where there is no queue."""
    early = _after(process, seconds / 3, queued)
    if early is None:
        return None, None
    return early, _after(process, seconds * (0.9 - 1 / 3), queued)


def _after(process: "subprocess.Popen[str]", seconds: float, queued: Callable[[], int | None]) -> int | None:
    """What `queued` says after `seconds`; None if fio ended before."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return queued()
    return None


def figures(output: str, queue: tuple[int | None, int | None] = (None, None), side: str = "write") -> Measure:
    """The figures in fio's JSON, which complaints may precede. Raises FioFailed where they are not there.
    `side`: those of its writes or of its reads."""
    try:
        job: dict[str, Any] = json.loads(output[output.index("{") :])["jobs"][0]
        write = job[side]
        percentiles = write["clat_ns"]["percentile"]
        if job["error"]:
            raise FioFailed(f"fio met error {job['error']}")
        return Measure(
            iops=write["iops"],
            bytes_per_second=write["bw_bytes"],
            mean_us=write["lat_ns"]["mean"] / 1000,
            p50_us=percentiles["50.000000"] / 1000,
            p99_us=percentiles["99.000000"] / 1000,
            p999_us=percentiles["99.900000"] / 1000,
            queued_early=queue[0],
            queued_late=queue[1],
            writes=write["total_ios"],
        )
    except (ValueError, KeyError, IndexError) as broken:
        raise FioFailed(f"fio's output has no figures: {output.strip()[:200]}") from broken
