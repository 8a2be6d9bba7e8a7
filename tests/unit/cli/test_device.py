"""`farshore device`, and how `status` shows an attached volume."""

from collections.abc import Callable
from typing import Any

from farshore.cli import status_text
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]

DEVICE: dict[str, Any] = {
    "id": "0123456789abcdef",
    "group": "g",
    "volume": "v",
    "state": "attached",
    "why": None,
    "next": None,
    "since": "2026-01-01T00:00:00.000Z",
    "path": "/dev/loop3",
    "file": "/run/farshore/1/d/0123456789abcdef/v",
    "at": None,
    "way": "loop",
    "read_only": False,
    "size": 1 << 30,
    "hold_seconds": 600.0,
    "held": 0,
    "reconnects": 2,
    "locked": True,
    "flusher": True,
    "pid": 7,
}


def test_attaching_prints_what_programs_open_and_nothing_else(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/devices", {"schema": 1, "devices": [DEVICE]}, status=201)
    made = farshore("device", "attach", "g/v")
    assert (made.code, made.out, made.err) == (0, "/dev/loop3\n", "")
    assert api.asked[0].body == {"group": "g", "volume": "v", "way": "auto", "hold": 600, "read_only": False}
    words = ("--at", "/run/v", "--way", "file", "--hold", "90s", "--read-only", "--json")
    assert farshore("device", "attach", "g", *words).json == {"schema": 1, "devices": [DEVICE]}
    assert api.asked[1].body == {"group": "g", "at": "/run/v", "way": "file", "hold": 90, "read_only": True}


def test_what_was_not_permitted_is_told(api: Replay, farshore: Run) -> None:
    device = {**DEVICE, "at": "/run/v", "locked": "the limit is 8 MiB", "flusher": False}
    api.on("POST", "/v1/devices", {"schema": 1, "devices": [device]}, status=201)
    made = farshore("device", "attach", "g/v")
    assert made.out == "/run/v\n"
    assert made.err.splitlines() == [
        "g/v: its memory is not locked: the limit is 8 MiB",
        "g/v: it is no I/O flusher",
    ]


def test_devices_are_listed_with_what_is_to_be_done_about_them(api: Replay, farshore: Run) -> None:
    ended = {**DEVICE, "volume": "w", "state": "ended", "path": None, "why": "it died", "next": "umount /srv"}
    silent = {**ended, "volume": "x", "state": None, "size": None, "why": None, "next": None}
    api.on("GET", "/v1/devices", {"schema": 1, "devices": [DEVICE, ended, silent]})
    shown = farshore("device", "list")
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[1] == ["g/v", "/dev/loop3", "attached", "1", "GiB", "loop", "read,", "write", "-"]
    assert lines[2][:3] == ["g/w", "-", "ended"]
    assert lines[3][:4] == ["g/x", "-", "-", "-"]
    assert shown.err.splitlines() == ["g/w: it died", "g/w: next: umount /srv"]
    assert farshore("device", "list", "--json").json["devices"][2] == silent
    api.on("GET", "/v1/devices", {"schema": 1, "devices": []})
    assert "farshore device attach" in farshore("device", "list").err


def test_a_device_in_use_is_not_detached(api: Replay, farshore: Run) -> None:
    problem = {"code": "in-use", "detail": "/dev/loop3 is in use", "next": "umount /srv"}
    api.refuse("DELETE", "/v1/devices", 409, **problem)
    refused = farshore("device", "detach", "g/v")
    assert (refused.code, "umount /srv" in refused.err) == (4, True)
    assert api.asked[0].target == "/v1/devices?group=g&volume=v"


def test_a_group_is_detached_as_a_whole(api: Replay, farshore: Run) -> None:
    api.on("DELETE", "/v1/devices", {"schema": 1, "devices": [DEVICE, {**DEVICE, "volume": "w"}]})
    done = farshore("device", "detach", "g")
    assert (done.code, done.out) == (0, "")
    assert done.err == "g/v is detached\ng/w is detached\n"
    assert api.asked[0].target == "/v1/devices?group=g"


def test_status_shows_the_device_in_place_of_the_export() -> None:
    volume = {"name": "v", "path": "/x", "size": 4096, "uri": "nbd+unix:///v?socket=/s"}
    shown = {"path": "/dev/loop3", "at": None, "state": "waiting", "why": "the engine is away", "next": None}
    assert "nbd+unix:///v" in _status({**volume, "device": None})
    assert "/dev/loop3 (waiting)" in _status({**volume, "device": shown})
    assert "/run/v (waiting)" in _status({**volume, "device": {**shown, "at": "/run/v"}})
    assert "device (-)" in _status({**volume, "device": {**shown, "path": None, "state": None}})


def _status(volume: dict[str, Any]) -> str:
    group = {"name": "g", "role": "primary", "health": "protected", "volumes": [volume], "links": []}
    return status_text.render({"node": {"name": "a"}, "groups": [group]}, colour=False)
