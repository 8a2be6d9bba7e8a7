"""One scene for all tests in here: none of them may change it."""

from collections.abc import Iterator

import pytest

from tests.badinput.scene import Scene
from tests.cluster import clusters


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Nodes a, b and c; a is paired with both. Orders is protected at b."""
    directory = tmp_path_factory.mktemp("badinput")
    room = directory / "room"
    room.mkdir()
    with clusters(directory) as make:
        made = make(("a", "b", "c"), through_line=False)
        made.group("orders", {"data": "40MiB"})
        made.link("orders", mode="sync")
        made.a.done("group", "create", "spare", "--volume", f"data={room / 'spare.img'},size=8MiB")
        made.wait("orders")
        yield Scene(made, room)
