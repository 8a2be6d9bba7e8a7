"""A loop for each test that asks for one, and a bench for what reads a journal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.engine.reactor import Reactor
from tests.unit.engine.journal_bench import Bench, benches


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """It turns when the test turns it."""
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """See `journal_bench`."""
    with benches(tmp_path) as made:
        yield made
