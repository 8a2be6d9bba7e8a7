"""A planned change of roles: nothing is lost, nothing is copied, and one copy at most takes writes."""

import pytest

from farshore.errors import FarshoreError
from tests.long_form import LONG
from tests.outage.writing import anywhere, writing
from tests.roles.conftest import MakeRoles, accepted, plan_of

ASYNC = {"mode": "async"}
SYNC = {"mode": "sync"}


@pytest.mark.parametrize("options", [SYNC, ASYNC] if LONG else [ASYNC])
def test_the_role_goes_there_and_back_without_a_copied_byte(
    roles: MakeRoles, options: dict[str, str]
) -> None:
    made = roles(**options)
    a, b, group = made.a, made.b, made.group
    with a.client(group) as client, writing(client, anywhere(made.size, 1)) as load:
        load.go_on(200)
    made.switch(a, b)
    assert made.primaries() == ["b"]
    made.protected(b)
    assert b.json_link(group)["resent_bytes_total"] == 0
    assert b.link(group).mode == options["mode"]
    made.equal()
    with b.client(group) as client, writing(client, anywhere(made.size, 2)) as load:
        load.go_on(100)
    made.switch(a, a)  # asked for at the goal
    assert made.primaries() == ["a"]
    made.protected(a)
    assert a.json_link(group)["resent_bytes_total"] == 0
    made.equal()
    assert [host.json(group)["change"] for host in (a, b)] == [None, None]


def test_a_plan_is_shown_first_and_without_a_terminal_nothing_else_happens(roles: MakeRoles) -> None:
    made = roles()
    command = ("switchover", made.group, "b")
    run = made.a.farshore(*command)
    assert run.returncode == 4
    plan = plan_of(made.a, *command)
    assert f"plan {plan}" in run.stdout
    assert f"--accept {plan}" in run.stderr
    stale = made.a.farshore(*command, "--accept", "0" * 12)
    assert (stale.returncode, "stale-plan" in stale.stderr) == (4, True)
    assert made.primaries() == ["a"]
    accepted(made.a, *command)
    assert made.primaries() == ["b"]
    assert made.a.farshore(*command, "--accept", plan).returncode == 4


def test_writes_that_are_under_way_are_acknowledged_or_refused_and_none_is_lost(roles: MakeRoles) -> None:
    made = roles(mode="sync")
    a, b = made.a, made.b
    with a.client(made.group) as client:
        written: dict[int, bytes] = {}

        def pieces() -> object:
            for offset, data in anywhere(made.size, 3, 4096):
                at = offset - offset % 4096
                yield at, data.ljust(4096, b"\1")[:4096]
                written[at] = data.ljust(4096, b"\1")[:4096]  # it was acknowledged

        with pytest.raises(OSError), writing(client, pieces()) as load:  # type: ignore[arg-type]
            load.go_on(100)
            made.switch(b, b)
    made.protected(b)
    image = b.image(made.group).read_bytes()
    lost = [at for at, data in written.items() if image[at : at + 4096] != data]
    assert lost in ([], lost[:1])  # the one that was under way may have been written over what was there


def test_the_others_of_a_fan_out_follow_the_new_primary(roles: MakeRoles) -> None:
    made = roles("abc")
    a, b = made.a, made.b
    made.switch(a, b)
    made.protected(b)
    assert sorted(each.peer for each in b.group(made.group).links) == ["a", "c"]
    with b.client(made.group) as client, writing(client, anywhere(made.size, 4)) as load:
        load.go_on(50)
    made.protected(b)
    made.equal()
    made.switch(b, a)
    made.protected(a)
    made.equal()
    assert sum(each["resent_bytes_total"] for each in a.json(made.group)["links"]) == 0


def test_in_a_chain_the_middle_takes_over_with_what_it_feeds_and_the_end_is_refused(roles: MakeRoles) -> None:
    made = roles(mode="sync")
    a, b, c, group = made.a, made.b, made.c, made.group
    a.done("link", "create", group, "c", "--via", "b")
    b.until(group, lambda seen: [each.state for each in seen.links] == ["replicating"], "b to feed c")
    plan = a.node.switchover(group, "c").plan
    assert [each.code for each in plan.refusals] == ["wrong-feeder"]
    assert f"farshore link reroute {group} c --via a" in plan.refusals[0].next
    made.switch(a, b)
    made.hosts.append(c)
    made.protected(b)
    assert sorted(each.peer for each in b.group(group).links) == ["a", "c"]
    with b.client(group) as client, writing(client, anywhere(made.size, 5)) as load:
        load.go_on(50)
    made.protected(b)
    made.equal()
    made.switch(b, c)  # which is fed by the primary itself now
    made.protected(c)
    assert sorted(each.peer for each in c.group(group).links) == ["a", "b"]
    made.equal()


def test_a_copy_that_lacks_writes_is_not_switched_to(roles: MakeRoles) -> None:
    made = roles()
    made.a.done("pause", made.group)
    plan = made.a.node.switchover(made.group, "b").plan
    assert [each.code for each in plan.refusals] == ["wrong-state"]
    assert made.a.farshore("switchover", made.group, "b", "--dry-run").returncode == 4
    with pytest.raises(FarshoreError, match="lacks writes"):
        made.a.node.switchover(made.group, "b", accept=plan.id)
    assert made.primaries() == ["a"]
