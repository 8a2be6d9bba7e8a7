"""The Debian package: installed, upgraded under load, kept while volumes are in use, removed."""

import io
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from farshore import __version__
from scripts.build_deb import debian_version, locked
from tests.packages.conftest import NEXT, ROOT, TIME, Debs
from tests.packages.load import PROGRAM, PYTHON, WRITER, Load
from tests.packages.room import Room, possible
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [
    requires("dpkg-deb", "unshare", "nsenter"),
    requires_fuse(),
    requires_root(),
    pytest.mark.timeout(300),
]

_DPKG = ("dpkg", "--force-unsafe-io", "--no-triggers")
_UNITS = sorted((ROOT / "packaging/systemd").glob("farshore*.*"))


@pytest.fixture(scope="module")
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    """A root with both packages at hand and none installed."""
    if not possible():
        pytest.skip("needs a kernel and a user that may mount an overlay in a namespace")
    debs: Debs = request.getfixturevalue("debs")
    with Room() as made:
        made.put(debs.now, "/tmp/now.deb")
        made.put(debs.later, "/tmp/later.deb")
        made.put(PROGRAM, WRITER)
        yield made


@pytest.fixture
def installed(room: Room) -> Iterator[Room]:
    """The package of this tree; gone again after the test."""
    room.done(*_DPKG, "-i", "/tmp/now.deb")
    yield room
    room.run("farshore", "node", "stop", "--engines")
    room.done(*_DPKG, "--purge", "farshore")


def _running(room: Room) -> dict[str, str]:
    """The pids of engine and device, as the room sees them, by module."""
    script = "for f in /proc/[0-9]*/cmdline; do echo $f $(tr '\\0' ' ' <$f); done"
    lines = [line.split() for line in room.run("sh", "-c", script).stdout.splitlines()]
    ours = [line for line in lines if line[1:2] == [PYTHON]]
    modules = ("farshore.engine.process", "farshore.device")
    return {name: line[0].split("/")[2] for line in ours for name in modules if name in line}


def test_everything_lies_where_the_system_looks_for_it(installed: Room) -> None:
    assert __version__ in installed.done("farshore", "--version")
    assert installed.done("dpkg", "-V", "farshore") == ""
    state = installed.done("dpkg-query", "-W", "-f", "${Status} ${Version}", "farshore")
    assert state == f"install ok installed {debian_version(__version__)}"
    assert "farshore-export" in installed.done("man", "-w", "farshore-export")
    for place in (
        "/usr/share/bash-completion/completions/farshore",
        "/usr/share/zsh/vendor-completions/_farshore",
        "/usr/share/fish/vendor_completions.d/farshore.fish",
        "/usr/share/doc/farshore/copyright",
        "/usr/lib/NetworkManager/dispatcher.d/90-farshore",
        "/usr/lib/networkd-dispatcher/routable.d/90-farshore",
        *(
            f"/usr/lib/systemd/system/{each.name}"
            for each in (ROOT / "packaging/systemd").glob("farshore*.*")
        ),
    ):
        assert installed.there(place), place
    owners = installed.done("find", "/usr/lib/farshore", "-not", "-uid", "0")
    assert owners == ""
    said = installed.done(PYTHON, "-c", "import farshore.api.process as p; print(p.__file__)")
    assert said.startswith("/usr/lib/farshore/lib/")


def test_it_brings_along_what_is_locked_and_nothing_else(installed: Room) -> None:
    said = installed.done("find", "/usr/lib/farshore/lib", "-name", "*.dist-info", "-printf", "%f\\n")
    found = dict(each.removesuffix(".dist-info").rsplit("-", 1) for each in said.split())
    assert found.pop("farshore") == __version__
    assert {name.lower().replace("_", "-"): version for name, version in found.items()} == locked()
    missing = (
        "from importlib.metadata import distributions as all\n"
        "print([str(each) for one in all() for each in one.files if not each.locate().is_file()])"
    )
    assert installed.done(PYTHON, "-c", missing) == "[]\n", "what pip has recorded is there"


def test_it_does_not_tell_when_it_was_built(debs: Debs) -> None:
    shown = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", debs.now], capture_output=True, timeout=60, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(shown.stdout)) as archive:
        assert {each.mtime for each in archive} == {TIME}


def test_an_upgrade_disturbs_no_volume_and_a_removal_is_refused_while_one_is_served(installed: Room) -> None:
    room = installed
    room.done("farshore", "node", "start", "--listen", "127.0.0.1:0", "--name", "site")
    volumes = [f"--volume={each}=/var/lib/farshore/{each}.img,size=16MiB" for each in ("data", "log")]
    room.done("farshore", "group", "create", "orders", *volumes)
    device = room.done("farshore", "device", "attach", "orders/log", "--way", "file").strip()
    loads = [
        Load(room.command, "nbd", room.done("farshore", "export", "orders/data").strip()),
        Load(room.command, "device", device),
    ]

    def all_go_on() -> None:
        for each in loads:
            each.goes_on()
        assert _running(room) == before

    before = _running(room)
    assert len(before) == 2
    room.done(*_DPKG, "-i", "/tmp/later.deb")
    all_go_on()
    assert NEXT in room.done("farshore", "--version")
    room.done("farshore", "node", "stop")
    all_go_on()
    room.done("farshore", "node", "start")
    all_go_on()
    assert '"health":"unprotected"' in room.done("farshore", "status", "--json").replace(" ", "")

    refused = room.run(*_DPKG, "--remove", "farshore")
    assert refused.returncode != 0
    for pid in before.values():
        assert pid in refused.stderr
    assert "farshore node stop --engines" in refused.stderr
    all_go_on()

    for each in loads:
        print(each.end())
    room.done("farshore", "device", "detach", "orders")
    room.done("farshore", "node", "stop", "--engines")
    room.done(*_DPKG, "--remove", "farshore")
    assert not room.there("/usr/lib/farshore")
    assert not room.there("/usr/bin/farshore")
    assert room.there("/var/lib/farshore/data.img")
    room.done("mkdir", "-p", "/etc/farshore")
    room.done("touch", "/etc/farshore/farshore.toml")
    room.done(*_DPKG, "--purge", "farshore")
    assert not room.there("/etc/farshore/farshore.toml")
    assert room.there("/var/lib/farshore/copies"), "what groups there are is known to nobody else"
    room.done(*_DPKG, "-i", "/tmp/now.deb")
