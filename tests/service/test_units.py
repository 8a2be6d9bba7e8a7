"""The units as systemd reads them without running: sound, and no more open than each has to be."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.requires import program, requires

pytestmark = requires("systemd-analyze")

_UNITS = ROOT / "packaging/systemd"
_MOST_EXPOSED = {"farshore-node.service": 37, "farshore-engine@.service": 34, "farshore-device@.service": 45}
"""Tenths of what `systemd-analyze security` counts; 92 is a unit that says nothing."""


def _directives(name: str) -> list[tuple[str, str]]:
    """All of a unit, comments gone, in order; a directive may stand there twice."""
    lines = [line.strip() for line in (_UNITS / name).read_text().splitlines()]
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]


def test_every_unit_is_sound(tmp_path: Path) -> None:
    for unit in _UNITS.iterdir():
        text = unit.read_text().replace("/usr/bin/farshore", sys.executable)
        (tmp_path / unit.name).write_text(text.replace("/usr/lib/farshore/bin/python", sys.executable))
    command = [program("systemd-analyze"), "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    ours = [line for line in run.stderr.splitlines() if "farshore" in line]
    assert (run.returncode, ours) == (0, [])


@pytest.mark.parametrize(("name", "most"), _MOST_EXPOSED.items(), ids=_MOST_EXPOSED)
def test_a_unit_is_no_more_open_than_it_has_to_be(name: str, most: int) -> None:
    command = [program("systemd-analyze"), "security", "--offline=true", f"--threshold={most}"]
    run = subprocess.run([*command, str(_UNITS / name)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout.splitlines()[-1]
    tighter = subprocess.run(
        [*command[:-1], f"--threshold={most - 3}", str(_UNITS / name)], capture_output=True, timeout=60
    )
    assert tighter.returncode != 0, "the bound can be drawn closer"


def test_every_service_has_a_bound() -> None:
    assert {each.name for each in _UNITS.glob("*.service")} == set(_MOST_EXPOSED)


@pytest.mark.parametrize("name", _MOST_EXPOSED)
def test_block_devices_stay_in_reach(name: str) -> None:
    closing = {"DevicePolicy", "DeviceAllow", "PrivateDevices", "ProtectClock"}
    assert not closing & {key for key, _ in _directives(name)}


def test_what_a_device_mounts_is_seen_by_everybody() -> None:
    own = (
        "Private",
        "Protect",
        "ReadOnly",
        "ReadWrite",
        "Inaccessible",
        "Bind",
        "Root",
        "Temporary",
        "Mount",
    )
    assert [key for key, _ in _directives("farshore-device@.service") if key.startswith(own)] == []


@pytest.mark.parametrize("name", ["farshore-engine@.service", "farshore-device@.service"])
def test_the_node_alone_starts_engines_and_devices_again(name: str) -> None:
    assert ("Restart", "no") in _directives(name)
    assert "Install" not in (_UNITS / name).read_text()
