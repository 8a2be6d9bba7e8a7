"""The plan of a repair names each fault, and has to be accepted where acknowledged writes may be missing."""

from dataclasses import replace
from pathlib import Path

from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.model.options import LinkOptions, LinkSpec, Role
from farshore.model.volumes import VolumeSpec
from farshore.node import replaced_volumes
from farshore.node.copies import StoredCopy
from farshore.node.repair import Ailing, plan_of
from farshore.node.replaced_volumes import Replaced
from tests.unit.node.standing import primary, scene, secondary

CONFIG = CopyConfig(
    group=b"g" * 16,
    group_name="orders",
    copy=b"c" * 16,
    copy_name="near",
    role=Role.PRIMARY,
    volumes=(VolumeSpec(3, "data", "/srv/data.img", 1 << 20),),
    control="/run/c",
    certificate="/c",
    key="/k",
    links=(LinkIntent(LinkSpec(b"l" * 16, "b", "f" * 64, LinkOptions()), "site-b", "b:7411"),),
)
OTHER = replace(CONFIG, copy=b"d" * 16, copy_name="far", role=Role.SECONDARY, links=())
UNSYNCED = Ailing(CONFIG, "a sync failed: EIO", "aa", doubtful=True)


def test_after_a_failed_sync_it_says_what_may_be_lost_and_which_links_stay_paused() -> None:
    plan = plan_of("orders", "site-a", [UNSYNCED])
    assert plan.title == "repair orders at site-a: near: a sync failed: EIO"
    assert len(plan.steps) == 3
    assert plan.lost == (
        "at least, at near: writes that were acknowledged after the last flush that succeeded",
    )
    assert plan.warnings[0].startswith("link b stays paused")
    plan.require()


def test_where_only_records_could_not_be_written_nothing_is_lost() -> None:
    plan = plan_of("orders", "site-a", [replace(UNSYNCED, doubtful=False)])
    assert (len(plan.steps), plan.lost, plan.warnings) == (3, (), ())


def test_regions_that_cannot_be_read_are_written_anew_without_a_new_start() -> None:
    plan = plan_of("orders", "site-a", [Ailing(CONFIG, "read error EIO")])
    assert plan.steps == ("what cannot be read is written anew with what a peer has that replicates",)
    assert plan_of("orders", "site-a", [Ailing(CONFIG)]).steps == ()


def test_each_copy_of_a_node_that_has_several_is_named() -> None:
    plan = plan_of("orders", "site-a", [UNSYNCED, Ailing(OTHER, "the journal cannot be applied: EIO")])
    assert [each.partition(":")[0] for each in plan.steps] == ["near"] * 3 + ["far"] * 3
    assert len(plan.lost) == 1


def test_another_fault_is_another_plan() -> None:
    plans = [plan_of("orders", "site-a", [each]).id for each in (UNSYNCED, replace(UNSYNCED, id="bb"))]
    assert plans[0] != plans[1]
    assert plans[0] == plan_of("orders", "site-a", [UNSYNCED]).id


def test_a_copy_that_was_only_to_be_promoted_has_neither_plan_when_its_disk_was_replaced() -> None:
    """It is a secondary by its header and a primary by intent: none of the two would come true."""
    stored = StoredCopy(Path("/srv/state"), CONFIG)
    other = Replaced(stored, "aa", "/srv/data.img (reads as zeroes)", waits=True)
    plan = replaced_volumes.plan_of("b", [other], scene(primary(), secondary("c")))
    assert (plan.steps, plan.lost) == ((), ())
    (refusal,) = plan.refusals
    assert refusal.code == "not-promotable"
    assert "/srv/data.img (reads as zeroes)" in refusal.what
    assert "put the right one back" in refusal.next_step
    assert "farshore split-brain resolve orders --keep a, at a" in refusal.next_step
    assert "farshore failover orders, at c" in refusal.next_step
    alone = replaced_volumes.plan_of("b", [other], scene(silent="a"))
    assert "once one answers" in alone.refusals[0].next_step
    served = replaced_volumes.plan_of("b", [replace(other, waits=False)], scene(primary()))
    assert (served.refusals, len(served.steps)) == ((), 3)
