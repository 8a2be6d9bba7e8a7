"""Engines as units where there is no systemd, or none of our units: what is said, and that nothing runs.

That they do run as units is shown in tests/service.
"""

import asyncio
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.node import engine_process
from farshore.node.launch import AsUnit, InSession
from tests.requires import requires


def refused(launch: AsUnit, directory: Path) -> FarshoreError:
    with pytest.raises(FarshoreError) as caught:
        asyncio.run(launch.start("engine", directory, ()))
    assert engine_process.holder(directory) is None
    return caught.value


@requires("systemctl")
def test_a_host_without_our_units(tmp_path: Path) -> None:
    error = refused(AsUnit(), tmp_path)
    assert error.code.name in ("wrong-state", "not-found"), "not booted with systemd, or without our units"
    assert f"farshore-engine@{str(tmp_path)[1:].partition('/')[0]}" in error.what
    assert error.next_step


def test_a_host_without_systemctl(tmp_path: Path) -> None:
    assert refused(AsUnit(("/none/systemctl",)), tmp_path).code.name == "not-found"


def test_a_name_that_is_too_long_for_a_unit(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 150) / ("y" * 150)
    deep.mkdir(parents=True)
    assert refused(AsUnit(), deep).code.name == "usage"


def test_where_to_look_for_an_engines_last_words(tmp_path: Path) -> None:
    assert InSession().log("engine", tmp_path) == str(tmp_path / "engine.log")
    assert AsUnit().log("engine", Path("/srv/a")) == "journalctl -u 'farshore-engine@srv-a.service'"
