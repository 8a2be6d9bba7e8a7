"""nbdcopy, with its several connections, fills a replicated volume and reads it back."""

import os
from pathlib import Path

import pytest

from tests.cluster import first_difference
from tests.interop.conftest import Pair
from tests.interop.programs import run
from tests.requires import requires

pytestmark = requires("nbdcopy")

MIB = 1 << 20


@pytest.fixture
def image(pair: Pair, tmp_path: Path) -> Path:
    """Data with holes and runs of zeroes in it, as large as the volume."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(pair.size)
        for at in range(0, pair.size, 4 * MIB):
            file.seek(at)
            file.write(os.urandom(MIB) + bytes(MIB))
        file.seek(pair.size - 512)
        file.write(os.urandom(512))
    return path


def test_what_is_copied_in_stands_at_the_other_site(pair: Pair, image: Path) -> None:
    run("nbdcopy", "--flush", "--connections=4", image, pair.uri)
    pair.equal()
    assert first_difference(image, pair.copy) is None


def test_what_is_copied_out_is_what_was_copied_in(pair: Pair, image: Path, tmp_path: Path) -> None:
    run("nbdcopy", "--flush", image, pair.uri)
    run("nbdcopy", "--connections=4", pair.uri, tmp_path / "back")
    assert first_difference(image, tmp_path / "back") is None


def test_zeroing_everything_zeroes_the_copy(pair: Pair, image: Path, tmp_path: Path) -> None:
    run("nbdcopy", "--flush", image, pair.uri)
    (tmp_path / "empty").touch()
    os.truncate(tmp_path / "empty", pair.size)
    run("nbdcopy", "--flush", "--destination-is-zero", tmp_path / "empty", pair.uri)  # writes nothing
    pair.equal()
    assert first_difference(image, pair.copy) is None
    run("nbdcopy", "--flush", "--allocated", tmp_path / "empty", pair.uri)
    pair.equal()
    assert first_difference(tmp_path / "empty", pair.copy) is None
