"""`farshore wait` and `resync --wait` end when the group is there, when it never will be, or in time."""

from collections.abc import Callable

import pytest

from tests import replay
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
_LOGGING = replay.group(
    health="unprotected",
    why="b is lost",
    next="see the line",
    links=[replay.link(state="logging", reason="peer-lost")],
)
_RESYNCING = replay.group(
    health="catching-up",
    links=[replay.link(state="resyncing", reason="update", progress=0.5, since="2026-11-22T18:01:00.000Z")],
)
_PAUSED = replay.group(
    health="unprotected",
    links=[replay.link(state="logging", reason="operator", since="2026-11-22T18:02:00.000Z")],
)


def test_waiting_ends_when_the_health_is_there(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(_LOGGING), replay.status(_RESYNCING), replay.status())
    waited = farshore("wait", "orders", "--timeout", "10s")
    assert (waited.code, waited.out) == (0, "")
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    ("word", "group"), [("logging", _LOGGING), ("resyncing", _RESYNCING), ("catching-up", _RESYNCING)]
)
def test_a_state_can_be_waited_for_as_well(
    word: str, group: dict[str, object], api: Replay, farshore: Run
) -> None:
    api.on("GET", "/v1/status", replay.status(group))
    assert farshore("wait", "orders", "--for", word).code == 0


def test_a_state_is_reached_when_all_links_have_it(api: Replay, farshore: Run) -> None:
    both = [replay.link(), replay.link(name="c", state="resyncing")]
    api.on("GET", "/v1/status", replay.status(replay.group(health="catching-up", links=both)))
    assert farshore("wait", "orders", "--for", "replicating", "--timeout", "100ms").code == 7


def test_the_end_of_the_time_is_exit_7_and_says_how_things_stand(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(_LOGGING))
    late = farshore("wait", "orders", "--timeout", "100ms")
    assert late.code == 7
    assert "not protected after 100 ms, but unprotected; b logging (peer-lost)" in late.err
    assert "see the line" in late.err


@pytest.mark.parametrize(("state", "code"), [("diverged", 8), ("failed", 1)])
def test_what_waiting_does_not_mend_is_not_waited_for(
    state: str, code: int, api: Replay, farshore: Run
) -> None:
    group = replay.group(health=state, links=[replay.link(state=state)])
    api.on("GET", "/v1/status", replay.status(group))
    ended = farshore("wait", "orders")
    assert ended.code == code
    assert "orders/b to site-b" in ended.err
    assert farshore("wait", "orders", "--for", state).code == 0


def test_a_group_that_is_not_there_is_not_waited_for(api: Replay, farshore: Run) -> None:
    api.refuse("GET", "/v1/status", 404, code="not-found", detail="no such group")
    assert farshore("wait", "nope").code == 3


def test_with_json_progress_is_a_line_for_each_change_and_the_end_is_the_document(
    api: Replay, farshore: Run
) -> None:
    import json

    api.on("GET", "/v1/status", replay.status(_RESYNCING), replay.status(_RESYNCING), replay.status())
    lines = [json.loads(line) for line in farshore("wait", "orders", "--json").out.splitlines()]
    assert [line["schema"] for line in lines] == [1, 1, 1]
    assert [line["progress"]["health"] for line in lines[:-1]] == ["catching-up", "protected"]
    assert lines[-1] == replay.status()


def test_a_resync_is_started_and_left_alone(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(_LOGGING))
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    assert farshore("resync", "orders", "--digest", "--link", "b").code == 0
    assert api.asked[-1].body == {"link": "b", "kind": "digest", "once": False}


def test_waiting_for_a_resync_ends_with_replication(api: Replay, farshore: Run) -> None:
    steps = [replay.status(each) for each in (_LOGGING, _LOGGING, _RESYNCING)]
    api.on("GET", "/v1/status", *steps, replay.status())
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    assert farshore("resync", "orders", "--wait").code == 0
    assert len([each for each in api.asked if each.method == "GET"]) == 4


def test_waiting_for_a_single_resync_ends_in_logging_again(api: Replay, farshore: Run) -> None:
    paused_before = replay.group(links=[replay.link(state="logging", reason="operator")])
    steps = [replay.status(each) for each in (paused_before, paused_before, _RESYNCING, replay.group())]
    api.on("GET", "/v1/status", *steps, replay.status(_PAUSED))
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    assert farshore("resync", "orders", "--once", "--wait").code == 0
    assert len([each for each in api.asked if each.method == "GET"]) == 5


def test_a_resync_that_is_cut_is_reported_as_such(api: Replay, farshore: Run) -> None:
    cut = replay.group(
        links=[replay.link(state="logging", reason="peer-lost", since="2026-11-22T18:03:00.000Z")]
    )
    api.on("GET", "/v1/status", replay.status(_LOGGING), replay.status(_RESYNCING), replay.status(cut))
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    ended = farshore("resync", "orders", "--wait")
    assert ended.code == 6
    assert "interrupted" in ended.err


def test_a_resync_that_takes_too_long_goes_on_and_is_exit_7(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(_RESYNCING))
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    late = farshore("resync", "orders", "--wait", "--timeout", "100ms")
    assert late.code == 7
    assert "it goes on" in late.err


def _refused(heard: str, *, code: str = "not-found", lasting: bool = True, **link: str) -> dict[str, object]:
    told = {"code": code, "lasting": lasting, "since": "2026-11-22T17:00:00.000Z", "heard": heard}
    link = {"state": "logging", "reason": "peer-lost", "why": "no copy there", "next": "look there", **link}
    return replay.status(replay.group(health="unprotected", links=[replay.link(refused=told, **link)]))


_AT, _LATER = "2026-11-22T18:03:00.000Z", "2026-11-22T18:03:05.000Z"


@pytest.mark.parametrize(("code", "exit_code"), [("not-found", 4), ("wrong-feeder", 4), ("unknown-peer", 5)])
@pytest.mark.parametrize("words", [("wait", "orders"), ("resync", "orders", "--wait")])
def test_a_peer_that_refuses_until_somebody_gives_a_command_is_not_waited_for(
    words: tuple[str, ...], code: str, exit_code: int, api: Replay, farshore: Run
) -> None:
    before = _refused(_AT, code=code)
    api.on("GET", "/v1/status", before, before, before, _refused(_LATER, code=code))
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    ended = farshore(*words, "--timeout", "5s")
    assert ended.code == exit_code
    assert f"refused by its peer ({code}): no copy there" in ended.err
    assert "look there" in ended.err


def test_what_was_heard_before_the_waiting_began_does_not_end_it(api: Replay, farshore: Run) -> None:
    """It may be what somebody has just mended."""
    api.on("GET", "/v1/status", _refused(_AT), _refused(_AT), _refused(_AT), replay.status())
    assert farshore("wait", "orders", "--timeout", "5s").code == 0


def test_what_is_heard_of_an_engine_that_did_not_answer_at_first_may_be_old(
    api: Replay, farshore: Run
) -> None:
    silent = replay.status(replay.group(links=[replay.link(state=None, refused=None)]))
    api.on("GET", "/v1/status", silent, silent, _refused(_AT), _refused(_AT), replay.status())
    assert farshore("wait", "orders", "--timeout", "5s").code == 0


@pytest.mark.parametrize("words", [("wait", "orders"), ("resync", "orders", "--wait")])
def test_a_refusal_that_may_end_by_itself_is_waited_for(
    words: tuple[str, ...], api: Replay, farshore: Run
) -> None:
    steps = [_refused(each, code="disk-full", lasting=False) for each in (_AT, _AT, _LATER)]
    api.on("GET", "/v1/status", *steps, replay.status())
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    assert farshore(*words, "--timeout", "5s").code == 0


def test_a_peer_that_still_has_no_room_ends_a_second_resync_too(api: Replay, farshore: Run) -> None:
    """The link was in that very state before, so only the new answer tells."""
    before, after = (_refused(each, code="store-full", reason="store-full") for each in (_AT, _LATER))
    api.on("GET", "/v1/status", before, before, after)
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    ended = farshore("resync", "orders", "--wait", "--timeout", "5s")
    assert (ended.code, "--unprotected" in ended.err) == (4, True)


def test_a_peer_that_has_no_room_is_not_waited_for_though_nobody_asks_it_again(
    api: Replay, farshore: Run
) -> None:
    api.on("GET", "/v1/status", _refused(_AT, code="store-full", reason="store-full"))
    ended = farshore("wait", "orders", "--timeout", "5s")
    assert (ended.code, "farshore resync orders --link b" in ended.err) == (4, True)


def test_a_resync_that_was_just_asked_for_because_there_is_room_is_waited_for(
    api: Replay, farshore: Run
) -> None:
    asked = _refused(_AT, code="store-full", reason="store-full", next="")
    api.on("GET", "/v1/status", asked, asked, replay.status())
    assert farshore("wait", "orders", "--timeout", "5s").code == 0


def test_a_link_that_had_diverged_and_whose_peer_is_gone_is_an_interrupted_resync(
    api: Replay, farshore: Run
) -> None:
    def stands(state: str, reason: str, since: str) -> dict[str, object]:
        return replay.status(replay.group(links=[replay.link(state=state, reason=reason, since=since)]))

    before = stands("diverged", "histories-conflict", _AT)
    api.on(
        "GET",
        "/v1/status",
        before,
        stands("logging", "restarted", _LATER),
        stands("logging", "peer-lost", _LATER),
    )
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    assert farshore("resync", "orders", "--wait", "--timeout", "5s").code == 6
