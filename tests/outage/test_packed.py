"""A link that packs and keeps to a pace goes through cuts and kills as any other does."""

from collections.abc import Iterator

import pytest

from tests.outage.conftest import MakePair
from tests.outage.writing import writing

_ROW = b"(4711, 'a customer', 'an address of some length', 2026, 11, 22);\n" * 400


def _rows(size: int) -> Iterator[tuple[int, bytes]]:
    """Rows of text of all lengths all over a volume, each with a number of its own, without end."""
    number = 0
    while True:
        number += 1
        length = (512, 4096, 20_000)[number % 3]
        yield (number * 7919 * 512) % (size - 65_536), b"%08d" % number + _ROW[: length - 8]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_cuts_and_kills_leave_equal_copies(pair: MakePair, mode: str) -> None:
    made = pair(mode=mode, compress="zstd", max_rate="4MiB/s", queue_memory="8MiB")
    with made.client() as client, writing(client, _rows(made.size)) as application:
        application.go_on(100)
        made.line.cut()
        application.go_on(100)
        made.line.heal()
        made.wait("replicating")
        application.go_on(100)
        killed = made.b.kill_engine(made.group)
        application.go_on(100)
        assert made.b.engine(made.group, other_than=killed)
        made.wait("replicating")
        application.go_on(100)
    link = made.link()
    assert link["compress"] == "zstd"
    assert link["compress_ratio"] > 2
    made.equal()
