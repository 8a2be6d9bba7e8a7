"""`farshore drill` shows what was begun, tells a script where the volumes are, and ends what it began."""

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farshore.cli import status_text
from tests import replay
from tests.replay import Asked, Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
_DRILLS = "/v1/groups/g/drills"
_NONE = {"schema": 1, "drills": []}


def drill(**more: Any) -> dict[str, Any]:
    """A drill as the node tells of it."""
    return {
        "group": "g",
        "node": "b",
        "copy": "b",
        "id": "ab",
        "state": "running",
        "why": "",
        "data_as_of": "2026-11-23T09:00:00.000Z",
        "data_age_seconds": 1.5,
        "started": "2026-11-23T09:00:01.500Z",
        "used_bytes": 4096,
        "limit_bytes": 1 << 20,
        "exports": [
            {"volume": "data", "uri": "nbd+unix:///data?socket=/d"},
            {"volume": "wal-1", "uri": "nbd+unix:///wal-1?socket=/d"},
        ],
        **more,
    }


def test_what_was_begun_is_an_address_for_each_volume(api: Replay, farshore: Run) -> None:
    api.on("POST", _DRILLS, {"schema": 1, "drill": drill()})
    shown = farshore("drill", "start", "g", "--on", "b", "--at", "monday", "--limit", "1MiB")
    assert shown.out.splitlines() == [each["uri"] for each in drill()["exports"]]
    assert "1.5 s old" in shown.err
    assert api.asked[0].body == {"on": "b", "at": "monday", "limit": 1 << 20}


def test_a_time_with_a_zone_is_a_time_and_what_has_no_colon_is_a_name(api: Replay, farshore: Run) -> None:
    moment = "2026-11-23T12:04:59.250+01:00"
    api.on("POST", _DRILLS, {"schema": 1, "drill": drill(at="2026-11-23T11:04:59.250Z", snapshot="noon")})
    for at in (moment, "2026-11-23t13-05-01z", "2026-11-23"):
        shown = farshore("drill", "start", "g", "--at", at)
        assert api.asked[-1].body == {"at": at}
    assert "a drill on g at b@2026-11-23T11:04:59.250Z" in shown.err
    before = len(api.asked)
    for wrong in ("2026-11-23T12:04:59", "12:04"):
        refused = farshore("drill", "start", "g", "--at", wrong)
        assert (refused.code, "zone" in refused.err) == (2, True), wrong
    assert len(api.asked) == before


def test_drills_are_listed_with_why_they_have_ended(api: Replay, farshore: Run) -> None:
    gone = drill(state="ended", why="the preserve store needed its room", exports=[])
    api.on("GET", "/v1/drills", {"schema": 1, "drills": [drill(), gone]})
    shown = farshore("drill", "list").out
    assert "running" in shown
    assert "ended: the preserve store needed its room" in shown
    text = status_text.render(replay.status(replay.group(drill=gone)), colour=False)
    assert "drill: ended" in text


@pytest.mark.parametrize(("script", "code", "passed"), [("exit 0", 0, True), ("exit 7", 1, False)])
def test_a_script_is_told_where_the_volumes_are_and_the_drill_ends_whatever_becomes_of_it(
    api: Replay, farshore: Run, tmp_path: Path, script: str, code: int, passed: bool
) -> None:
    path, told, report = tmp_path / "script", tmp_path / "told", tmp_path / "report"
    path.write_text(f'echo "$FARSHORE_DRILL_URI_DATA $FARSHORE_DRILL_URI_WAL_1" > {told}\n{script}\n')
    api.on("GET", "/v1/drills", _NONE)
    api.on("POST", _DRILLS, {"schema": 1, "drill": drill()})
    ended = drill(state="ended", why="it was stopped", first_write="2026-11-23T09:00:02Z", written_bytes=9)
    api.on("DELETE", _DRILLS, {"schema": 1, "drill": ended})
    ran = farshore("drill", "run", "g", "--script", str(path), "--report", str(report), "--json")
    assert ran.code == code
    assert told.read_text().split() == [each["uri"] for each in drill()["exports"]]
    assert api.asked[-1].target.startswith(_DRILLS)
    said = json.loads(report.read_text())
    assert said == ran.json
    assert (said["passed"], said["written_bytes"], said["lasted"]) == (passed, 9, True)


def test_a_drill_that_did_not_last_has_failed_though_the_script_noticed_nothing(
    api: Replay, farshore: Run, tmp_path: Path
) -> None:
    (tmp_path / "script").write_text("exit 0")
    api.on("GET", "/v1/drills", _NONE)
    api.on("POST", _DRILLS, {"schema": 1, "drill": drill()})
    gone = drill(state="ended", why="the preserve store needed its room")
    api.on("DELETE", _DRILLS, {"schema": 1, "drill": gone})
    ran = farshore("drill", "run", "g", "--script", str(tmp_path / "script"))
    assert ran.code == 1
    assert "FAILED" in ran.out
    assert "needed its room" in ran.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_interrupts_a_drill_that_is_being_begun_has_it_stopped_and_nobody_elses(
    api: Replay, farshore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "script").write_text("exit 0")
    other, ours = drill(copy="c", id="cd"), drill(state="beginning", exports=[])
    api.on(
        "GET", "/v1/drills", *({"schema": 1, "drills": each} for each in ([other], [other], [other, ours]))
    )
    api.on("DELETE", _DRILLS, {"schema": 1, "drill": ours})
    answer = api.answer

    def interrupting(asked: Asked) -> tuple[int, Any]:
        if asked.method == "POST":
            os.kill(os.getpid(), number)
            waiting.wait(5)
        return answer(asked)

    waiting, before = threading.Event(), signal.getsignal(signal.SIGTERM)
    api.on("POST", _DRILLS, {"schema": 1, "drill": drill()})
    monkeypatch.setattr(api, "answer", interrupting)
    ran = farshore("drill", "run", "g", "--script", str(tmp_path / "script"))
    waiting.set()
    assert (ran.code, "interrupted" in ran.err) == (130, True)
    stopped = [each.target for each in api.asked if each.method == "DELETE"]
    assert stopped == [f"{_DRILLS}?on=b%2Fb"]
    assert signal.getsignal(signal.SIGTERM) is before
