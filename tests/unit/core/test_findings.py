"""What a verify has found, as status and plans tell it."""

from dataclasses import replace

import pytest

from farshore.core import findings, report
from farshore.core.health import LinkFacts, of_link
from farshore.model.options import Health, LinkState, Reason
from tests.unit.core.pair import REGION, SYNC, Pair, Wish
from tests.unit.core.test_verify import begin, ended, plant, running


def test_a_link_that_was_never_verified_has_no_verify() -> None:
    assert findings.report(running().feeder) is None


def test_a_rhythm_alone_is_told() -> None:
    pair = Pair(Wish(links=(replace(SYNC, verify_every=5.0),)))
    shown = findings.report(pair.feeder)
    assert shown is not None
    assert (shown["state"], shown["every_seconds"], shown["begun"]) == (None, 5.0, None)


def test_a_finished_one_says_when_where_and_what() -> None:
    pair = running()
    plant(pair, 3)
    begin(pair, rate=1 << 30)
    ended(pair)
    shown = findings.report(pair.feeder)
    assert shown is not None
    assert (shown["state"], shown["found_bytes"], shown["progress"]) == ("finished", REGION, None)
    assert shown["at"] == {"generation": pair.near.core.generation.hex(), "sequence": pair.near.core.sequence}
    assert shown["begun"] <= shown["ended"]
    assert shown["max_rate"] == 1 << 30
    usable, _, why = report.peer_usable(pair.near.core, pair.feeder)
    assert (usable, why) == (False, "a verify has found 4 KiB in it that differ")


def test_one_whose_link_stopped_waits() -> None:
    pair = Pair(Wish(sizes={1: 4 << 20}))
    pair.replicating()
    begin(pair, rate=1)
    pair.turn(5)
    pair.cut()
    pair.turn(5)
    shown = findings.report(pair.feeder)
    assert shown is not None
    assert shown["state"] == "waiting"
    assert 0 <= shown["progress"] < 1


def test_each_set_of_findings_has_a_fingerprint_of_its_own() -> None:
    pair = running()
    assert findings.fingerprint(pair.feeder) == ""
    seen = set()
    for region in (2, 3, 9):
        pair.feeder.board.found.set(1, region, region + 1, 1)
        seen.add(findings.fingerprint(pair.feeder))
    assert len(seen) == 3


def test_a_list_of_findings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MOST_RUNS", 2)
    pair = running()
    for region in (2, 4, 9):
        pair.feeder.board.found.set(1, region, region + 1, 1)
    shown = findings.listed(pair.feeder)
    assert (len(shown["ranges"]), shown["more"], shown["found_bytes"]) == (2, True, 3 * REGION)


@pytest.mark.parametrize(
    ("state", "reason", "health"),
    [
        (LinkState.REPLICATING, Reason.IN_ORDER, Health.FAILED),
        (LinkState.LOGGING, Reason.VERIFY, Health.UNPROTECTED),
    ],
)
def test_a_known_difference_is_no_protection(state: LinkState, reason: Reason, health: Health) -> None:
    verdict = of_link("g", LinkFacts("b", state, reason, "", 0.0, 30.0, True, found=4096))
    assert verdict.health is health
    assert verdict.next_step == "farshore verify g --link b --repair"
