"""The same nodes for all tests in here; what dies in one test runs again before it ends."""

from collections.abc import Iterator

import pytest

from tests.order.frozen import FarSites, far_sites


@pytest.fixture(scope="package")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSites]:
    """Nodes a, b and c, some milliseconds apart."""
    with far_sites(tmp_path_factory.mktemp("order")) as made:
        yield made
