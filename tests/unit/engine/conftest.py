"""A loop for each test that asks for one."""

from collections.abc import Iterator

import pytest

from farshore.engine.reactor import Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """It turns when the test turns it."""
    made = Reactor()
    yield made
    made.close()
