"""A place at the peer where no copy can be put: another size, full, used, not allowed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.badinput.scene import Expected, Scene

_MIB = 1 << 20
_SIZE = 8 * _MIB
"""Of spare/data."""


def _link(path: Path | str, more: str = "") -> str:
    return f"link create spare b --place data={path} {more}"


@contextmanager
def _own(scene: Scene, content: bytes) -> Iterator[Path]:
    """A file below b's own volumes directory, where a may place copies; it must stay as it is."""
    path = scene.b.state / "volumes" / "place.img"
    path.write_bytes(content)
    yield path
    assert path.read_bytes() == content
    path.unlink()


def test_another_size(scene: Scene) -> None:
    expected = Expected("size-mismatch", "exactly that size")
    for size in (_SIZE - 512, _SIZE + 512):
        with _own(scene, bytes(size)) as path:
            scene.refused(scene.a, _link(path), expected)
            scene.refused(scene.a, _link(path, "--first digest"), expected)


def test_a_place_that_holds_something(scene: Scene) -> None:
    with _own(scene, bytes(5 * _MIB) + b"somebody's" + bytes(3 * _MIB - 10)) as path:
        error = scene.refused(scene.a, _link(path, "--first full"), Expected("not-empty", "--first digest"))
        assert "byte 5242880" in error["what"]
        assert "overwrite" in error["means"]


def test_a_place_outside_of_what_was_allowed(scene: Scene) -> None:
    outside = scene.room / "outside.img"
    allow = "farshore node allow a --path"
    scene.refused(scene.a, _link(outside), Expected("outside-grant", f"{allow} '{outside}'"))
    dots = scene.b.state / "volumes" / ".." / "peers.json"
    scene.refused(scene.a, _link(dots), Expected("outside-grant", allow))
    way = scene.b.state / "volumes" / "way"
    way.symlink_to(scene.room)
    scene.refused(scene.a, _link(way / "outside.img"), Expected("outside-grant", allow))
    way.unlink()


def test_a_grant_reaches_no_further_than_it_says(scene: Scene) -> None:
    scene.b.done("node", "allow", "a", "--path", f"{scene.room}/*.copy")
    below = scene.room / "below"
    below.mkdir()
    for place in (scene.room / "data.img", below / "data.copy"):
        scene.refused(scene.a, _link(place), Expected("outside-grant", str(place)))
    scene.b.done("node", "disallow", "a", "--path", f"{scene.room}/*.copy")
    scene.refused(scene.a, _link(scene.room / "data.copy"), Expected("outside-grant", "farshore node allow"))


def test_a_place_that_another_copy_has(scene: Scene) -> None:
    scene.refused(scene.a, _link(scene.b.image("orders")), Expected("in-use", "farshore group list"))
    scene.unharmed()


def test_a_place_in_a_directory_that_is_not_there(scene: Scene) -> None:
    nowhere = scene.b.state / "volumes" / "none" / "data.img"
    scene.refused(scene.a, _link(nowhere), Expected("not-found", "make it first"))


def test_a_place_that_is_read_only(scene: Scene) -> None:
    with _own(scene, bytes(_SIZE)) as path:
        path.chmod(0o444)
        scene.refused(scene.a, _link(path), Expected("read-only", "chmod u+w"))


def test_a_volume_that_the_group_does_not_have(scene: Scene) -> None:
    words = f"link create spare b --place other={scene.room / 'x.img'}"
    scene.refused(scene.a, words, Expected("not-found", "its volumes: data"))
