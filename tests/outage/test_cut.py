"""Where a link stops on purpose: one sequence, reported, and exactly that stands at the peer (rule B5)."""

import time

import pytest

from tests.outage.conftest import MakePair
from tests.outage.writing import records, records_in, writing
from tests.waiting import wait_until

MIB = 1 << 20


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_pause_drains_to_the_cut_that_it_reports(mode: str, pair: MakePair) -> None:
    made = pair(32, mode=mode)
    start = made.a.json(made.group)["sequence"]
    made.line.delay(2)
    with made.client() as client, writing(client, records(made.size)) as application:
        application.go_on(100)
        (paused,) = made.farshore("pause", made.group, "--json")["links"]
        application.go_on(20)
    assert paused["drained"] is True
    link = made.link()
    assert (link["state"], link["reason"]) == ("logging", "operator")
    assert link["stopped_at"] == paused["position"]["sequence"]
    assert records_in(made.image(made.b)) == paused["position"]["sequence"] - start
    assert application.acknowledged > records_in(made.image(made.b)) >= 100
    told = wait_until(lambda: made.told("link-paused"), what="the event of the pause")
    assert [each["sequence"] for each in told] == [link["stopped_at"]]
    made.farshore("resync", made.group, "--wait", "--timeout", "30s")
    made.equal()


def test_pause_now_drops_what_is_queued_and_marks_it(pair: MakePair) -> None:
    made = pair(mode="async")
    made.line.rate(MIB // 4, "forward")  # slower than any machine that this runs on
    with made.client() as client:
        client.write_all(records(4 * MIB))
        began = time.monotonic()
        (paused,) = made.farshore("pause", made.group, "--now", "--json")["links"]
        assert time.monotonic() - began < 3
    assert paused["drained"] is False
    assert made.link()["dirty_bytes"] > MIB
    assert records_in(made.image(made.b)) < records_in(made.image(made.a))
    made.line.rate(None)
    made.farshore("resync", made.group, "--wait", "--timeout", "30s")
    made.equal()


def test_a_pause_that_cannot_drain_says_so_in_time(pair: MakePair) -> None:
    made = pair(mode="async")
    made.line.stall()
    with made.client() as client:
        client.write(0, b"stuck")
        (paused,) = made.farshore("pause", made.group, "--timeout", "500ms", "--json")["links"]
    assert paused["drained"] is False
    assert made.link()["dirty_bytes"] > 0
    made.line.heal()
    made.farshore("resync", made.group, "--wait", "--timeout", "30s")
    made.equal()


def test_one_shot_mirroring_stops_at_the_completion_cut(pair: MakePair) -> None:
    made = pair(32, mode="async")
    start = made.a.json(made.group)["sequence"]
    made.farshore("pause", made.group)
    with made.client() as client, writing(client, records(made.size)) as application:
        application.go_on(100)
        asked_at = application.acknowledged
        made.farshore("resync", made.group, "--once", "--wait", "--timeout", "30s")
        link = made.link()
        assert (link["state"], link["reason"]) == ("logging", "operator")
        application.go_on(20)
    held = records_in(made.image(made.b))
    assert held == made.link()["stopped_at"] - start
    assert asked_at <= held < application.acknowledged
    assert made.link()["peer_usable"] is True
    made.farshore("resync", made.group, "--wait", "--timeout", "30s")
    made.equal()
