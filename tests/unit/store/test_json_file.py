"""A file of JSON that cannot be used is said to be missing, or damaged, by its path."""

from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.store.json_file import read_object


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "copy.json").write_text('{"name": "Kühlhaus", "volumes": []}')
    assert read_object(str(tmp_path / "copy.json")) == {"name": "Kühlhaus", "volumes": []}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"name": "\xff"}'])
def test_what_is_no_object_is_damage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "copy.json"
    path.write_bytes(content)
    with pytest.raises(FarshoreError) as caught:
        read_object(str(path), means="Nothing was changed.")
    assert (caught.value.code.name, caught.value.means) == ("state-damaged", "Nothing was changed.")
    assert str(path) in caught.value.what


def test_a_file_that_is_missing_comes_with_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(FarshoreError) as caught:
        read_object(str(tmp_path / "copy.json"), missing="farshore group list")
    assert (caught.value.code.name, caught.value.next_step) == ("not-found", "farshore group list")
