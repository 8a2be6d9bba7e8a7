"""Lines for fstab: names that last, dependencies that systemd understands, nothing that it would wait for."""

import os
from collections.abc import Callable

import pytest

from farshore.cli import fstab
from farshore.client.answers import Device
from farshore.errors import FarshoreError
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


def _device(at: str | None, *, read_only: bool = False) -> Device:
    return Device("0123456789abcdef", "orders", "data", "attached", at=at, read_only=read_only)


def test_a_line_names_the_link_and_requires_the_devices_unit() -> None:
    unit = "farshore-device@var-lib-farshore-devices-0123456789abcdef.service"
    made = fstab.line(_device("/run/farshore-orders"), "/srv/orders", unit)
    assert made == f"/run/farshore-orders /srv/orders auto _netdev,nofail,x-systemd.requires={unit} 0 0"


def test_what_would_end_a_field_is_written_in_octal() -> None:
    made = fstab.line(_device("/run/a b", read_only=True), "/srv/a\tb", "farshore-device@a\\x2db.service")
    words = made.split(" ")
    assert words[:2] == ["/run/a\\040b", "/srv/a\\011b"]
    assert words[3] == "ro,_netdev,nofail,x-systemd.requires=farshore-device@a\\134x2db.service"


@pytest.mark.parametrize("at", [None, "/dev/farshore/orders"])
def test_a_name_that_does_not_last_or_that_systemd_waits_for_is_refused(at: str | None) -> None:
    with pytest.raises(FarshoreError) as caught:
        fstab.line(_device(at), "/srv/orders", None)
    assert caught.value.code.name == "wrong-state"
    assert "--at /run/" in caught.value.next_step


def test_a_process_that_runs_in_no_unit_of_ours_has_none() -> None:
    assert fstab.unit_of(os.getpid()) is None
    assert fstab.unit_of(None) is None
    assert fstab.unit_of(2**22 + 1) is None


def test_lines_are_printed_for_what_is_attached_and_for_nothing_else(api: Replay, farshore: Run) -> None:
    devices = [
        {"id": "a1", "group": "orders", "volume": "data", "state": "attached", "at": "/run/x", "pid": None},
        {"id": "a2", "group": "other", "volume": "data", "state": "attached", "at": "/run/y", "pid": None},
    ]
    api.on("GET", "/v1/groups/orders", {"schema": 1, "name": "orders"})
    api.on("GET", "/v1/devices", {"schema": 1, "devices": devices})
    shown = farshore("export", "orders", "--format", "fstab", "--mount", "/mnt")
    assert shown.out == "/run/x /mnt auto _netdev,nofail 0 0\n"
    assert "no unit" in shown.err
    (told,) = farshore("export", "orders", "--format", "fstab", "--json").json["devices"]
    assert told["text"] == "/run/x /srv/orders-data auto _netdev,nofail 0 0"
    refused = farshore("export", "orders/log", "--format", "fstab")
    assert refused.code == 4
    assert "farshore device attach orders/log --at" in refused.err
    assert farshore("export", "orders", "--format", "fstab", "--mount", "mnt").code == 2
    assert farshore("export", "orders", "--mount", "/mnt").code == 2
