"""The Debian package: built twice; and on Debian's smallest system, with the demo."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.conftest import ROOT as TREE
from tests.packages.conftest import Built, Debs, build, pack_both
from tests.packages.room import Room
from tests.requires import program, requires, requires_root

_NEEDED = requires("debootstrap", "dpkg-deb", "unshare", "nsenter")
pytestmark = [_NEEDED, requires_root(), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Debs:
    made: Built = build(TREE, tmp_path_factory.mktemp("dist"))
    return pack_both(made, tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A root from the archive that this machine installs from."""
    said = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages")
    targets = subprocess.run(said, capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")
    address, suite = targets[0].split()
    base: Path = tmp_path_factory.mktemp("debian") / "root"
    words = ("--variant=minbase", "--include=python3", suite, str(base), address)
    subprocess.run([program("debootstrap"), *words], check=True, timeout=900, stdout=subprocess.DEVNULL)
    with Room(base) as room:
        yield room


def test_the_same_wheel_gives_the_same_package(tmp_path_factory: pytest.TempPathFactory) -> None:
    wheel = build(TREE, tmp_path_factory.mktemp("wheel")).wheel
    made = []
    for _ in range(2):
        words = (
            sys.executable,
            TREE / "scripts/build_deb.py",
            wheel,
            tmp_path_factory.mktemp("deb"),
            "--fast",
        )
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
        made.append(Path(said.stdout.strip()).read_bytes())
    assert made[0] == made[1]


def test_the_package_needs_nothing_that_it_does_not_name(bare: Room, debs: Debs) -> None:
    for name, path in (("now", debs.now), ("later", debs.later)):
        bare.put(path, f"/tmp/{name}.deb")
    bare.done("dpkg", "-i", "/tmp/now.deb")
    assert bare.done("dpkg", "--audit") == ""
    demo = bare.run("farshore", "demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    bare.done("dpkg", "-i", "/tmp/later.deb")
    bare.done("dpkg", "-P", "farshore")
    assert not bare.there("/usr/lib/farshore")
