"""Names of units are what systemd makes of the same paths."""

import subprocess

import pytest

from farshore.systemd.unit_names import escaped, unit_name
from tests.requires import program, requires


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/var/lib/farshore/copies/orders/site-a", r"var-lib-farshore-copies-orders-site\x2da"),
        ("/", "-"),
        ("/a//b/", "a-b"),
        ("/.hidden/.x", r"\x2ehidden-.x"),
        ("/ä b", r"\xc3\xa4\x20b"),
    ],
)
def test_a_path_in_a_name(path: str, name: str) -> None:
    assert escaped(path) == name


@requires("systemd-escape")
@pytest.mark.parametrize(
    "path", ["/", "/a-b_c:d.e", "/srv/x y/ü", "/.a/.b", "/a//b/", r"/back\slash", "/1%2@3"]
)
def test_systemd_says_the_same(path: str) -> None:
    said = subprocess.run(
        [program("systemd-escape"), "--path", path], capture_output=True, text=True, timeout=20
    )
    assert escaped(path) == said.stdout.rstrip("\n")


def test_a_unit_is_named_after_its_directory() -> None:
    assert unit_name("engine", "/srv/a/b") == "farshore-engine@srv-a-b.service"
    with pytest.raises(ValueError):
        unit_name("engine", "relative")
    with pytest.raises(ValueError):
        unit_name("engine", "/x" * 200)
