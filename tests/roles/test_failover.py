"""A copy is promoted without its primary: what is known to be lost is said, and nothing else is."""

import pytest

from farshore.errors import FarshoreError
from tests.cluster import Host
from tests.outage.writing import anywhere, writing
from tests.roles.conftest import MakeRoles, Roles
from tests.waiting import wait_until


def _lose(host: Host, group: str) -> None:
    """The host is gone: its node and its engines."""
    host.hold()
    host.kill_node()
    host.kill_engine_of(group)


def _back(host: Host) -> None:
    host.start()
    host.hold()


def _write(made: Roles, host: Host, seed: int, pieces: int = 60) -> None:
    with host.client(made.group) as client, writing(client, anywhere(made.size, seed)) as load:
        load.go_on(pieces)


def test_a_lost_primary_is_replaced_and_brought_back_by_failback(roles: MakeRoles) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    _write(made, a, 1)
    made.protected(a)
    _lose(a, group)
    plan = b.node.failover(group).plan  # the most advanced
    assert (plan.goal, plan.refusals) == ("b", ())
    assert any(each.startswith("at least, as of the last contact") for each in plan.lost)
    made.fail_over(b)
    _write(made, b, 2)
    assert b.json(group)["change"]["kind"] == "failover"
    assert "--commit" in b.group(group).next
    b.done("failover", group, "--commit")
    assert b.json(group)["change"] is None
    _back(a)
    seen = a.until(group, lambda group: bool(group.fenced), "a to hear of it")
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


def test_a_primary_that_runs_is_not_failed_over(roles: MakeRoles) -> None:
    made = roles()
    plan = made.b.node.failover(made.group, "b").plan
    assert [each.code for each in plan.refusals] == ["wrong-state"]
    assert f"farshore switchover {made.group} b" in plan.refusals[0].next
    with pytest.raises(FarshoreError):
        made.b.node.failover(made.group, "b", accept=plan.id)
    assert made.primaries() == ["a"]
