"""One pair of nodes for all tests in here; what dies in one test runs again before it ends."""

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, clusters


@pytest.fixture(scope="package")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two paired nodes without a line between them: processes stop here, lines do not."""
    with clusters(tmp_path_factory.mktemp("order")) as make:
        yield make(through_line=False)
