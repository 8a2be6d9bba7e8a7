"""Long tests run in `make soak` only, which says so in FARSHORE_SOAK."""

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, clusters
from tests.long_form import LONG


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what lies in here anywhere else."""
    if LONG:
        return
    for item in items:
        if "soak" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="takes long: make soak"))


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two paired nodes without a line between them."""
    with clusters(tmp_path_factory.mktemp("soak")) as make:
        yield make(through_line=False)
