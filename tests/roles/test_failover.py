"""A copy is promoted without its primary: what is known to be lost is said, and nothing else is."""

import pytest

from farshore.errors import FarshoreError
from tests.roles.conftest import MIB, MakeRoles, Roles
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
    assert (plan.refusals, plan.accepts) == ((), ("unprotected",))
    b.done("failback", group, "a", "--accept", plan.id)
    assert made.primaries() == ["a"]
    made.protected(a)
    made.equal()
    assert [host.json(group)["change"] for host in (a, b)] == [None, None]


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
    made.fail_over(b)
    made.write(b, 2)
    made.back(a)
    wait_until(lambda: made.primaries() == ["b"], 30, what="a to follow b")
    made.protected(b)
    made.equal()
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
    plan = b.node.failover_revert(group).plan
    assert (plan.refusals, plan.accepts) == ((), ("unprotected",))
    b.node.failover_revert(group, accept=plan.id)
    assert made.primaries() == ["a"]
    made.protected(a)
    assert a.image(group).read_bytes() == before
    made.equal()
    made.write(a, 3)
    assert a.group(group).writes == "flowing"


@pytest.mark.parametrize("keep", ["a", "b"])
def test_of_two_copies_that_were_both_written_one_is_kept(roles: MakeRoles, keep: str) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    made.parted(a, b)
    kept, other = (a, b) if keep == "a" else (b, a)
    kept_image = kept.image(group).read_bytes()
    preview = other.done("split-brain", "preview", group, "--json")
    assert all(each["exports"] for each in preview["sides"])
    plan = other.node.split_brain_resolve(group, keep).plan
    assert (plan.refusals, plan.accepts) == ((), ("unprotected",))
    assert "marked as written" in plan.lost[0]
    other.node.split_brain_resolve(group, keep, accept=plan.id)
    made.protected(kept)
    assert made.primaries() == [keep]
    made.equal()
    assert kept.image(group).read_bytes() == kept_image
    assert kept.json_link(group)["resent_bytes_total"] < made.size
    made.write(kept, 4)
    made.protected(kept)
    assert not kept.done("split-brain", "show", group, "--json")["split"]
