"""What a copy says of itself: the keys that users script against, and nothing that is not so."""

from dataclasses import replace
from typing import Any

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.core.moments import moment
from farshore.model import messages as m
from farshore.model.options import LinkState, OnOutage
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT

LINK_KEYS = {
    "id", "name", "mode", "wire", "state", "reason", "why", "since", "direction", "progress", "eta_seconds",
    "lag_seconds", "lag_bytes", "dirty_bytes", "queue", "sequence", "resent_bytes_total", "peer_usable",
    "peer_usable_as_of", "peer_usable_why", "rtt_seconds", "stopped_at", "stopped_time",
}  # fmt: skip
GROUP_KEYS = {
    "role", "health", "writes", "since", "why", "next", "generation", "sequence", "fault", "held_by", "links",
}  # fmt: skip


def of(pair: Pair) -> dict[str, Any]:
    return report.of_primary(pair.near.core, "shop")


def link(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = of(pair)["links"][0]
    return found


def running(*, mode: str = "sync") -> Pair:
    pair = Pair(Wish(links=(SYNC if mode == "sync" else ASYNC,), content=CONTENT))
    pair.replicating()
    pair.turn(20)
    return pair


def test_times_are_rfc_3339_in_utc_and_unknown_ones_none() -> None:
    assert moment(0.25) == "1970-01-01T00:00:00.250Z"
    assert moment(None) is None


def test_the_keys_are_those_of_the_contract() -> None:
    pair = running()
    document = of(pair)
    assert set(document) >= GROUP_KEYS
    assert set(document["links"][0]) >= LINK_KEYS
    assert set(document["links"][0]["queue"]) == {"memory_bytes", "memory_limit", "disk_bytes", "disk_limit"}
    assert set(document["links"][0]["sequence"]) == {"sent", "received", "applied", "durable"}


def test_a_link_in_order_with_nothing_owed() -> None:
    pair = running()
    document = of(pair)
    assert (document["health"], document["writes"], document["held_by"]) == ("protected", "flowing", None)
    shown = document["links"][0]
    assert (shown["state"], shown["reason"]) == ("replicating", "in-order")
    assert (shown["dirty_bytes"], shown["lag_seconds"], shown["lag_bytes"]) == (0, 0.0, 0)
    assert shown["peer_usable"] is True
    assert shown["progress"] is None
    assert shown["rtt_seconds"] is not None


def test_dirty_bytes_are_zero_only_when_all_of_it_is_durable_at_the_peer() -> None:
    pair = running()
    pair.far.hold.add(a.SyncVolumes)
    pair.write(0)
    pair.turn(3)
    assert link(pair)["dirty_bytes"] > 0
    pair.far.let_all()
    pair.turn(15)
    assert link(pair)["dirty_bytes"] == 0


def test_lag_is_the_age_of_the_oldest_write_that_the_peer_has_not_applied() -> None:
    pair = running(mode="async")
    pair.line.room = 0
    pair.write(0)
    pair.turn(10)
    pair.write(512)
    pair.turn(10)
    assert link(pair)["lag_seconds"] == pytest.approx(0.2, abs=0.02)
    assert link(pair)["lag_bytes"] == 1024
    pair.line.room = None
    pair.turn(3)
    assert link(pair)["lag_seconds"] == 0.0


def test_beyond_its_rpo_a_group_is_behind() -> None:
    pair = Pair(Wish(links=(replace(ASYNC, rpo=0.1),), content=CONTENT))
    pair.replicating()
    pair.line.room = 0
    pair.write(0)
    pair.turn(15)
    assert of(pair)["health"] == "behind"


def test_unknown_figures_are_none_and_never_zero() -> None:
    pair = Pair(start=False)
    pair.cut()
    pair.start_near("boot-1")
    shown = link(pair)
    assert shown["sequence"] == {"sent": None, "received": None, "applied": None, "durable": None}
    for key in (
        "lag_seconds",
        "lag_bytes",
        "rtt_seconds",
        "progress",
        "eta_seconds",
        "stopped_at",
        "stopped_time",
    ):
        assert shown[key] is None, key
    assert shown["peer_usable"] is False


def test_a_resync_tells_its_progress_and_that_the_peer_cannot_be_used() -> None:
    pair = Pair(Wish(links=(ASYNC,), sizes={1: 4096 * KIB}, region=64 * KIB, extent=256 * KIB))
    pair.near.disk.seen[1][:] = bytes([7]) * (4096 * KIB)
    pair.line.stops = lambda unit: isinstance(unit, m.Fill) and unit.ordinal > 2
    pair.until(lambda: pair.feeder.board.dirty.count() == 32)
    document = of(pair)
    shown = document["links"][0]
    assert document["health"] == "catching-up"
    assert shown["progress"] == 0.5
    assert shown["eta_seconds"] > 0
    assert shown["peer_usable"] is False


def half_resynced(*, keeps_undo: bool = True) -> Pair:
    """A peer that was consistent once and is being overwritten."""
    pair = running()
    pair.far.keeps_undo = keeps_undo
    pair.restart_far("boot-1")
    pair.replicating()
    pair.cut()
    pair.write(0)
    pair.turn(2)
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.mend()
    pair.until(lambda: pair.is_in(LinkState.RESYNCING))
    pair.turn(5)
    assert not pair.far.core.consistent
    return pair


def test_an_interrupted_resync_leaves_the_peer_as_usable_as_its_undo_makes_it() -> None:
    pair = half_resynced()
    pair.cut()
    pair.turn(2)
    assert link(pair)["peer_usable"] is True
    pair = half_resynced(keeps_undo=False)
    pair.cut()
    pair.turn(2)
    assert link(pair)["peer_usable"] is False


def test_a_restart_does_not_make_a_half_overwritten_peer_usable() -> None:
    pair = half_resynced()
    pair.kill_near()
    pair.cut()
    pair.start_near("boot-1")
    pair.turn(80)
    assert link(pair)["peer_usable"] is False


def test_a_lost_line_tells_where_and_when_it_stopped() -> None:
    pair = running()
    pair.write(0)
    pair.turn(2)
    pair.cut()
    pair.write(512, REGION)
    pair.turn(2)
    document = of(pair)
    shown = document["links"][0]
    assert document["health"] == "unprotected"
    assert (shown["state"], shown["reason"], shown["stopped_at"]) == ("logging", "peer-lost", 1)
    assert shown["stopped_time"] == moment(pair.feeder.record.stopped_time)
    assert shown["dirty_bytes"] == 2 * REGION
    assert shown["peer_usable"] is True


def test_a_diverged_group_says_so_first() -> None:
    pair = running()
    pair.cut()
    pair.far.header = replace(pair.far.header, copy=b"x" * 16)
    pair.checked = False
    pair.restart_far("boot-1")
    pair.turn(50)
    document = of(pair)
    assert document["health"] == "diverged"
    assert document["links"][0]["peer_usable"] is None


def test_a_fault_is_told_with_its_errno() -> None:
    pair = running()
    pair.near.errors[a.SyncVolumes] = [5]
    pair.flush()
    pair.turn(5)
    document = of(pair)
    assert (document["health"], document["writes"]) == ("failed", "refused")
    assert "EIO" in document["fault"]


def test_frozen_writes_are_held_and_the_link_is_named() -> None:
    pair = Pair(Wish(links=(replace(SYNC, on_outage=OnOutage.FREEZE),), content=CONTENT))
    pair.replicating()
    pair.cut()
    document = of(pair)
    assert document["writes"] == "held"
    assert "l0" in document["held_by"]


class TestSecondary:
    def shown(self, pair: Pair) -> dict[str, Any]:
        return report.of_secondary(pair.far.core, "near")

    def test_in_order(self) -> None:
        pair = running()
        document = self.shown(pair)
        assert (document["role"], document["health"], document["usable"]) == ("secondary", "protected", True)
        assert document["generation"] == pair.near.core.generation.hex()

    def test_without_its_feeder_it_is_unprotected_and_usable(self) -> None:
        pair = running()
        pair.cut()
        document = self.shown(pair)
        assert (document["health"], document["usable"]) == ("unprotected", True)

    def test_while_it_is_overwritten_it_is_not_usable(self) -> None:
        document = self.shown(half_resynced())
        assert (document["health"], document["usable"]) == ("catching-up", False)

    def test_a_fault_is_told(self) -> None:
        pair = running()
        pair.far.errors[a.ApplyFrame] = [5]
        pair.write(0)
        pair.turn(3)
        document = self.shown(pair)
        assert document["health"] == "failed"
        assert "EIO" in document["fault"]

    def test_a_blank_copy_has_no_generation(self) -> None:
        pair = Pair()
        assert self.shown(pair)["generation"] is None
        assert self.shown(pair)["usable"] is False
