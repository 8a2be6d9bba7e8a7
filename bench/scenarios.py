"""What is measured: each scenario's loads, the contenders that take part, and the ratios that are judged.

A ratio is left over right, of one figure, in rounds that lie next to each other. A comparison
without a bound is shown and not judged: some figures have no target and still belong on the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from bench.fio import Job

Figure = Literal["iops", "bytes_per_second", "mean_us", "p999_us"]

_KIB = 1024
_MIB = 1024 * 1024

PLAIN, TLS = "farshore-sync", "farshore-sync-tls"
ASYNC, ASYNC_TLS = "farshore-async", "farshore-async-tls"
ALONE = "farshore-alone"
LIMIT, NBDKIT, QEMU_NBD = "limit", "nbdkit", "qemu-nbd"
MIRROR, MIRROR_UNIX = "qemu-mirror", "qemu-mirror-unix"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left` over `right` in `figure`: at least `least`, or at most `most`, or only shown."""

    left: str
    right: str
    figure: Figure
    least: float | None = None
    most: float | None = None
    steady: bool = False
    """Count only rounds in which the left one's queue did not grow."""

    @property
    def bound(self) -> str:
        """The target in words; empty where there is none."""
        if self.least is not None:
            return f"≥ {self.least:g}"
        return f"≤ {self.most:g}" if self.most is not None else ""

    def met(self, ratio: float) -> bool | None:
        """Whether `ratio` reaches the target; None where there is none."""
        if self.least is not None:
            return ratio >= self.least
        return ratio <= self.most if self.most is not None else None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load on several contenders."""

    name: str
    title: str
    job: Job
    contenders: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def family(self) -> str:
        """The row of the table of targets that this belongs to, such as S1."""
        return self.name.split("-", maxsplit=1)[0]


def _sync(mirror: float | None, nbdkit: float | None, limit: float | None) -> tuple[Comparison, ...]:
    """Throughput of a synchronous group beside the others, then TLS beside plain."""
    return (
        Comparison(PLAIN, MIRROR, "iops", least=mirror),
        Comparison(PLAIN, MIRROR_UNIX, "iops"),
        Comparison(PLAIN, NBDKIT, "iops", least=nbdkit),
        Comparison(PLAIN, LIMIT, "iops", least=limit),
        Comparison(TLS, MIRROR, "iops", least=mirror),
    )


_SYNC = (PLAIN, MIRROR, MIRROR_UNIX, NBDKIT, LIMIT, TLS)

SCENARIOS = (
    Scenario(
        "S1",
        "sync, 4 KiB random writes, depth 32",
        Job(4 * _KIB, 32),
        _SYNC,
        (*_sync(10, 0.6, 0.75), Comparison(TLS, PLAIN, "iops", least=0.85)),
    ),
    Scenario(
        "S1-flush",
        "the same with a flush after each 32 writes (QEMU's mirror sends its replica none)",
        Job(4 * _KIB, 32, flush_every=32),
        _SYNC,
        (*_sync(None, None, None), Comparison(TLS, PLAIN, "iops")),
    ),
    Scenario(
        "S2",
        "sync, 4 KiB random writes, depth 1: latency",
        Job(4 * _KIB, 1),
        _SYNC,
        (
            Comparison(PLAIN, MIRROR, "mean_us", most=0.6),
            Comparison(PLAIN, MIRROR, "p999_us", most=1.0),
            Comparison(PLAIN, MIRROR_UNIX, "mean_us"),
            Comparison(PLAIN, LIMIT, "mean_us"),
            Comparison(PLAIN, NBDKIT, "mean_us"),
            Comparison(TLS, MIRROR, "mean_us", most=0.6),
            Comparison(TLS, MIRROR, "p999_us", most=1.0),
            Comparison(TLS, PLAIN, "iops", least=0.85),
        ),
    ),
    Scenario(
        "S3",
        "sync, 1 MiB random writes, depth 4",
        Job(_MIB, 4),
        _SYNC,
        (*_sync(4, None, 0.8), Comparison(TLS, PLAIN, "iops", least=0.4)),
    ),
    Scenario(
        "S4-4k",
        "a group without links, 4 KiB random writes, depth 32",
        Job(4 * _KIB, 32),
        (ALONE, NBDKIT, QEMU_NBD),
        (Comparison(ALONE, NBDKIT, "iops", least=0.8), Comparison(ALONE, QEMU_NBD, "iops", least=1.5)),
    ),
    Scenario(
        "S4-1m",
        "a group without links, 1 MiB random writes, depth 4",
        Job(_MIB, 4),
        (ALONE, NBDKIT, QEMU_NBD),
        (Comparison(ALONE, NBDKIT, "iops", least=0.8), Comparison(ALONE, QEMU_NBD, "iops", least=1.5)),
    ),
    *(
        Scenario(
            f"S5-{size}k",
            f"async, steady, {size} KiB random writes, depth 32, as the application sees it",
            Job(size * _KIB, 32),
            (ASYNC, ALONE, ASYNC_TLS),
            (
                Comparison(ASYNC, ALONE, "iops", least=0.7, steady=True),
                Comparison(ASYNC_TLS, ASYNC, "iops", least=bound, steady=True),
            ),
        )
        for size, bound in ((4, 0.85), (64, None))
    ),
)
"""In the order in which they run."""


class Named(Protocol):
    """What can be chosen by name."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...


_Choice = TypeVar("_Choice", bound=Named)


def chosen(only: str | None, known: Sequence[_Choice]) -> tuple[_Choice, ...]:
    """Those of `known` named in `only`: families or full names, with commas between. None means all."""
    if only is None:
        return tuple(known)
    wanted = [word.strip().lower() for word in only.split(",") if word.strip()]
    names = {name.lower() for each in known for name in (each.name, each.family)}
    strangers = [word for word in wanted if word not in names]
    if strangers or not wanted:
        every = ", ".join(each.name for each in known)
        raise ValueError(f"no scenario {', '.join(strangers) or repr(only)}; there are {every}")
    return tuple(each for each in known if {each.name.lower(), each.family.lower()} & set(wanted))
