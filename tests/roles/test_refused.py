"""What an operator, or a machine that comes back, must not do to the roles and directions of a group.

Each is refused with exit code 4 or 8 and its code, and neither an image nor a role moves; then, where a
command mends it, that command does. Refused elsewhere are: a copy that was never whole, a second primary
while the first runs, and where both were written (`test_failover`); one that lacks writes, and a made-up plan
(`test_switchover`); a drill beyond its limit (`views/test_drills`).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import Host
from tests.processes import running
from tests.roles.conftest import MakeRoles, Roles, plan_of


@contextmanager
def nothing_moves(made: Roles) -> Iterator[None]:
    """Neither a byte of an image nor a role, and no link begins to copy."""
    hosts = [host for host in made.hosts if _known(host, made.group)]
    images = [host.image(made.group) for host in hosts]

    def seen() -> list[object]:
        return [*[each.read_bytes() for each in images], *[host.group(made.group).role for host in hosts]]

    before = seen()
    yield
    assert seen() == before


def _known(host: Host, group: str) -> bool:
    up = running(host.state, "farshore.api.process")
    return bool(up) and any(each.name == group for each in host.node.status().groups)


def _state(host: Host, group: str) -> Path:
    return host.state / "copies" / group


def _with_another_disk(made: Roles, host: Host) -> Path:
    """The volume's file is another one when the host comes back; where the right one is."""
    image = host.image(made.group)
    kept = image.with_suffix(".kept")
    host.done("node", "stop", "--engines")
    image.rename(kept)
    with image.open("wb") as file:
        file.truncate(made.size)
    _up(host)
    host.until(made.group, lambda seen: seen.health == "failed", "the other disk to be noticed")
    shown = host.json(made.group)
    assert shown["code"] == "identity-changed"
    assert f"{image} (reads as zeroes)" in shown["why"]
    assert f"farshore repair {made.group}" in shown["next"]
    return kept


def _up(host: Host) -> None:
    host.start()
    host.hold()


def _logs(made: Roles, why: str) -> None:
    """Until the primary at a says that it has lost its peer, or does not know it any more."""
    made.a.until(
        made.group,
        lambda seen: why in str(seen.why) and seen.links[0].state in ("logging", "diverged"),
        f"a to say: {why}",
    )


def _repaired(host: Host, group: str) -> dict[str, Any]:
    """By the plan, which has to be accepted; the plan."""
    assert host.refused("repair", group)["code"] == "plan-needed"
    plan: dict[str, Any] = host.done("repair", group, "--dry-run", "--json")["plan"]
    assert plan["lost"], plan
    assert host.refused("repair", group, "--accept", "0" * 12)["code"] == "stale-plan"
    host.done("repair", group, "--accept", plan["id"])
    host.hold()
    return plan


def test_a_lagging_copy_and_a_plan_of_another_state(roles: MakeRoles) -> None:
    made = roles("abc")
    a, group = made.a, made.group
    plan = plan_of(a, "switchover", group, "b")
    a.done("pause", group, "--link", "c")
    made.write(a, 1)
    with nothing_moves(made):
        error = a.refused("switchover", group, "c", "--accept", plan)
        assert error["code"] == "wrong-state"
        assert "c lacks writes" in error["what"]
        assert a.refused("switchover", group, "b", "--accept", plan)["code"] == "stale-plan"
    a.done("resync", group, "--wait")
    made.equal()
    made.switch(a, made.c)
    assert made.primaries() == ["c"]


def test_a_direction_that_would_overwrite_the_newer_side(roles: MakeRoles) -> None:
    made = roles(mode="async")
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    made.lose(a)
    made.fail_over(b)
    made.write(b, 2)
    made.back(a)
    made.fenced(a)
    dirty = a.link(group).dirty_bytes
    with nothing_moves(made):
        for kind in ("--full", "--digest"):
            error = a.refused("resync", group, kind)
            assert (error["code"], "split-brain" in error["next"]) == ("promoted", True)
        assert a.refused("switchover", group, "a")["code"] in ("diverged", "promoted")
    assert a.link(group).dirty_bytes == dirty
    plan = plan_of(b, "split-brain", "resolve", group, "--keep", "b")
    b.done("split-brain", "resolve", group, "--keep", "b", "--accept", plan)
    made.protected(b)
    made.equal()


def test_a_secondary_whose_disk_was_replaced(roles: MakeRoles) -> None:
    made = roles()
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    kept = _with_another_disk(made, b)
    _logs(made, "identity-changed")
    with nothing_moves(made):
        assert a.refused("switchover", group, "b")["code"] == "wrong-state"
        assert b.refused("failover", group)["code"] == "wrong-state"
    kept.rename(b.image(group))
    made.protected(a)  # it was put back: nobody has to say anything
    made.lose(a)
    _with_another_disk(made, b)
    with nothing_moves(made):
        assert b.refused("failover", group)["code"] == "wrong-state"
    assert "all that it had" in _repaired(b, group)["lost"][0]
    with nothing_moves(made):
        error = b.refused("failover", group)
        assert (error["code"], "never held a whole copy" in error["what"]) == ("not-promotable", True)
    made.back(a)
    made.protected(a)
    made.equal()
    assert any(a.image(group).read_bytes())


def test_a_primary_whose_disk_was_replaced(roles: MakeRoles) -> None:
    made = roles()
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    written = a.image(group).read_bytes()
    _with_another_disk(made, a)
    with nothing_moves(made):
        plan: dict[str, Any] = a.done("repair", group, "--dry-run", "--json")["plan"]
        assert any(f"farshore failover {group} b" in each for each in plan["warnings"])
    made.fail_over(b)
    assert made.primaries() == ["b"], "which is what the plan says"
    _repaired(a, group)
    made.protected(b)
    made.equal()
    assert b.image(group).read_bytes() == written
    _with_another_disk(made, b)
    _repaired(b, group)
    seen = b.until(group, lambda now: now.writes == "flowing", "b to be served as it is")
    assert "the peer may have the better data" in str(seen.why)
    assert a.image(group).read_bytes() == written
    b.done("resync", group)
    made.protected(b)
    made.equal()
    assert not any(a.image(group).read_bytes()), "as was asked for"


def test_a_peer_that_lost_its_state_or_came_back_from_an_older_one(roles: MakeRoles) -> None:
    made = roles()
    a, b, group = made.a, made.b, made.group
    made.write(a, 1)
    made.protected(a)
    state = _state(b, group)
    older = b.directory / "older"
    b.done("node", "stop", "--engines")
    shutil.copytree(state, older)
    _up(b)
    made.protected(a)
    made.write(a, 2)
    made.protected(a)
    b.done("node", "stop", "--engines")
    shutil.rmtree(state)
    older.rename(state)
    made.write(a, 3)
    _up(b)
    _logs(made, "older than what it had made durable")
    assert a.link(group).reason == "identity-changed"
    with nothing_moves(made):
        assert a.refused("switchover", group, "b")["code"] == "wrong-state"
        assert a.refused("resync", group, "--wait")["code"] == "diverged"
    _made_anew(made)
    b.done("node", "stop", "--engines")
    shutil.rmtree(state)
    made.write(a, 4)
    _up(b)
    _logs(made, "holds no copy that follows this link")
    with nothing_moves(made):
        error = a.refused("switchover", group, "b")
        assert (error["code"], "no copy" in error["what"]) == ("wrong-state", True)
        for words in (["resync", group, "--wait"], ["wait", group]):
            error = a.refused(*words, "--timeout", "30s")
            assert (error["code"], "farshore link create" in error["next"]) == ("wrong-state", True)
    _made_anew(made)


def _made_anew(made: Roles) -> None:
    made.a.done("link", "delete", made.group, "b")
    assert made.a.refused("link", "create", made.group, "b")["code"] == "not-empty"
    made.a.done("link", "create", made.group, "b", "--first", "digest")
    made.protected(made.a)
    made.equal()
