"""A copy is promoted without its primary: what is known to be lost is said, and nothing else is."""

import json

import pytest

from farshore.errors import FarshoreError
from tests.long_form import LONG
from tests.roles.conftest import MIB, MakeRoles, Roles
from tests.roles.rescued import exported, rescued
from tests.waiting import wait_until


def test_a_lost_primary_is_replaced_and_brought_back_by_failback(roles: MakeRoles) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    made.lose(a)
    plan = b.node.failover(group).plan  # the most advanced
    assert (plan.goal, plan.refusals) == ("b", ())
    assert any(each.startswith("at least, as of the last contact") for each in plan.lost)
    made.fail_over(b)
    made.write(b, 2)
    assert b.json(group)["change"]["kind"] == "failover"
    assert "--commit" in (b.group(group).next or "")
    b.done("failover", group, "--commit")
    assert b.json(group)["change"] is None
    made.back(a)
    seen = made.fenced(a)
    assert (seen.health, seen.writes, seen.fenced_by) == ("diverged", "refused", "b")
    assert "farshore split-brain" in (seen.next or "")
    shown = a.done("split-brain", "show", group, "--json")
    assert [each["node"] for each in shown["sides"]] == ["a", "b"]
    plan = b.node.failback(group, "a").plan
    assert (plan.refusals, plan.accepts) == ((), ())
    mine = a.image(group).read_bytes()
    b.done("failback", group, "a", "--accept", plan.id)
    assert made.primaries() == ["a"]
    made.write(a, 3)
    made.protected(a)
    made.equal()
    assert [kept for _, kept in rescued(a, group)] == [mine]
    assert [host.json(group)["change"] for host in (a, b)] == [None, None]
    assert rescued(b, group) == []


def test_a_copy_that_was_never_whole_is_not_promoted_and_nothing_is_moved(roles: MakeRoles) -> None:
    cluster = roles.cluster
    a, b = cluster.a, cluster.b
    cluster.group("part", {"data": "16MiB"})
    made = Roles(cluster, "part", [a], 16 * MIB)
    made.write(a, 7, 300)
    cluster.link("part", b, max_rate="64KiB/s")
    b.engine("part")
    a.until("part", lambda seen: seen.links[0].state == "resyncing", "the first copy to begin")
    made.lose(a)
    refused = b.farshore("failover", "part", "--dry-run")
    assert refused.returncode == 4, refused.stderr
    assert "not-promotable" in refused.stderr
    assert b.group("part").role == "secondary"
    made.back(a)
    assert a.group("part").role == "primary"


def test_a_primary_that_runs_is_not_failed_over(roles: MakeRoles) -> None:
    made = roles()
    plan = made.b.node.failover(made.group, "b").plan
    assert [each.code for each in plan.refusals] == ["wrong-state"]
    assert f"farshore switchover {made.group} b" in plan.refusals[0].next
    with pytest.raises(FarshoreError):
        made.b.node.failover(made.group, "b", accept=plan.id)
    assert made.primaries() == ["a"]


def test_d6_a_sync_primary_that_was_killed_follows_the_promoted_copy_by_itself(roles: MakeRoles) -> None:
    # Frozen: on a busy machine one that is back might else give the peer up before it has been heard.
    made = roles(mode="sync", on_outage="freeze")
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.told(b)
    made.lose(a)
    before = a.directory.joinpath(f"{group}-data.img").read_bytes()
    made.fail_over(b)
    made.write(b, 2)
    made.back(a)
    wait_until(lambda: made.primaries() == ["b"], 30, what="a to follow b")
    made.protected(b)
    made.equal()
    ((name, kept),) = rescued(a, group)
    assert (name[:7], kept) == ("rejoin-", before)
    assert b.json(group)["change"]["kind"] == "failover"
    refused = b.farshore("failover", group, "--revert", "--dry-run")
    assert (refused.returncode, f"farshore switchover {group} a" in refused.stderr) == (4, True)
    b.node.failover_commit(group)
    made.switch(b, a)
    made.protected(a)
    made.equal()


def test_d6_a_primary_that_may_have_acknowledged_alone_waits_for_a_plan(roles: MakeRoles) -> None:
    made = roles(mode="sync")
    a, b, group = made.a, made.b, made.group
    made.parted(a, b)
    assert made.primaries() == ["a", "b"]
    assert a.farshore("switchover", group, "a", "--dry-run").returncode == 8


def test_a_failover_is_taken_back_and_the_old_primary_is_as_it_was(roles: MakeRoles) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    made.lose(a)
    before = a.directory.joinpath(f"{group}-data.img").read_bytes()
    made.fail_over(b)
    made.write(b, 2)
    assert b.farshore("failover", group, "--revert", "--dry-run").returncode == 4  # to nobody
    made.back(a)
    made.fenced(a)
    taken_back = b.image(group).read_bytes()
    plan = b.node.failover_revert(group).plan
    assert (plan.refusals, plan.accepts) == ((), ())
    b.node.failover_revert(group, accept=plan.id)
    assert made.primaries() == ["a"]
    made.protected(a)
    assert a.image(group).read_bytes() == before
    made.equal()
    assert [kept for _, kept in rescued(b, group)] == [taken_back]
    made.write(a, 3)
    assert a.group(group).writes == "flowing"


@pytest.mark.parametrize("keep", ["a", "b"] if LONG else ["b"])
def test_of_two_copies_that_were_both_written_one_is_kept(roles: MakeRoles, keep: str) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    made.parted(a, b)
    kept, other = (a, b) if keep == "a" else (b, a)
    kept_image, lost_image = kept.image(group).read_bytes(), other.image(group).read_bytes()
    preview = other.done("split-brain", "preview", group, "--json")
    assert all(each["exports"] for each in preview["sides"])
    assert [host.group(group).writes for host in (a, b)] == ["refused", "refused"]
    assert b.farshore("export", group).returncode == 4
    for host, image in ((kept, kept_image), (other, lost_image)):
        (side,) = [each for each in preview["sides"] if each["node"] == host.name]
        assert exported(side["exports"][0]["uri"]) == image
    other.done("split-brain", "preview", group, "--end")
    assert (a.group(group).writes, b.group(group).writes) == ("refused", "flowing")
    other.done("split-brain", "preview", group)
    plan = other.node.split_brain_resolve(group, keep).plan
    assert (plan.refusals, plan.accepts) == ((), ())
    assert "marked as written" in plan.lost[0]
    other.node.split_brain_resolve(group, keep, accept=plan.id)
    made.protected(kept)
    assert made.primaries() == [keep]
    made.equal()
    assert kept.image(group).read_bytes() == kept_image
    assert [image for _, image in rescued(other, group)] == [lost_image]
    (rescue,) = kept.done("rescue", "list", group, "--json")["rescues"]
    assert (rescue["node"], rescue["open"], rescue["name"][:12]) == (other.name, False, "split-brain-")
    assert kept.json_link(group)["resent_bytes_total"] < made.size
    made.write(kept, 4)
    made.protected(kept)
    assert not kept.done("split-brain", "show", group, "--json")["split"]
    assert [image for _, image in rescued(other, group)] == [lost_image]
    (shown,) = other.done("rescue", "export", group, rescue["name"], "--json")["exports"]
    assert (exported(shown["uri"]), shown["read_only"]) == (lost_image, True)
    elsewhere = kept.farshore("rescue", "export", group, rescue["name"])
    assert (elsewhere.returncode, f"at {other.name}" in elsewhere.stderr) == (3, True)
    words = ("rescue", "delete", group, rescue["name"])
    assert kept.farshore(*words).returncode == 4
    plan_id = kept.done(*words, "--dry-run", "--json")["plan"]["id"]
    kept.done(*words, "--accept", plan_id)
    assert rescued(other, group) == []
    assert other.farshore("rescue", "list", group, rescue["name"]).returncode == 3
    assert kept.farshore(*words, "--accept", plan_id).returncode == 3


def test_without_room_for_a_rescue_nothing_is_overwritten_before_a_plan_says_so(roles: MakeRoles) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    made.lose(a)
    made.fail_over(b)
    made.write(b, 1)
    (path,) = a.state.glob(f"copies/{group}/*/copy.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "preserve": 1}))
    made.back(a)
    a.until(group, lambda seen: bool(seen.fenced), "a to hear of it")
    mine = a.image(group).read_bytes()
    b.node.split_brain_resolve(group, "b", accept=b.node.split_brain_resolve(group, "b").plan.id)
    b.until(group, lambda seen: seen.links[0].reason == "store-full", "b to hear of it")
    refused = b.farshore("resync", group, "--unprotected")
    assert (refused.returncode, "kept nowhere" in refused.stdout) == (4, True)
    assert a.image(group).read_bytes() == mine
    plan = b.done("resync", group, "--unprotected", "--dry-run", "--json")["plan"]
    assert plan["accepts"] == ["unprotected"]
    b.done("resync", group, "--unprotected", "--accept", plan["id"], "--wait")
    made.protected(b)
    made.equal()
    assert rescued(a, group) == []
