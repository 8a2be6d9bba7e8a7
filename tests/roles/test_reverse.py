"""The content of a primary is replaced by that of a copy that it feeds (rule E6): by a plan, with nobody able
to write meanwhile, and the primary is the primary again."""

import pytest

from tests.long_form import LONG
from tests.roles.conftest import MakeRoles, Roles
from tests.roles.rescued import rescued


def _paused(roles: MakeRoles, **options: str) -> tuple[Roles, bytes]:
    """A group whose link was paused, and that was written since; what the far copy holds."""
    made = roles(**options)
    a, group = made.a, made.group
    made.write(a, 1)
    made.protected(a)
    made.equal()
    a.done("pause", group)
    made.write(a, 2)
    return made, made.b.image(group).read_bytes()


KINDS = [(), ("--digest",), ("--full",)] if LONG else [()]


@pytest.mark.parametrize("how", KINDS)
def test_the_content_of_the_peer_replaces_that_of_the_primary(roles: MakeRoles, how: tuple[str, ...]) -> None:
    made, good = _paused(roles, mode="sync" if how else "async")
    a, b, group = made.a, made.b, made.group
    mine = a.image(group).read_bytes()
    assert mine != good
    shown = a.farshore("resync", group, "--reverse", *how, "--dry-run", "--json")
    plan = a.done("resync", group, "--reverse", *how, "--dry-run", "--json")["plan"]
    assert shown.returncode == 0
    assert "at least" in plan["lost"][0]
    assert "kept there as a rescue" in plan["lost"][0]
    assert made.primaries() == ["a"]
    a.done("resync", group, "--reverse", *how, "--accept", plan["id"])
    a.hold()
    b.hold()
    assert made.primaries() == ["a"]
    made.protected(a)
    assert a.image(group).read_bytes() == good
    assert [kept for _, kept in rescued(a, group)] == [mine]
    made.equal()
    assert [host.json(group)["change"] for host in (a, b)] == [None, None]
    made.write(a, 3)
    made.protected(a)
    made.equal()
    assert [kept for _, kept in rescued(a, group)] == [mine]
    if not how:  # a full one has overwritten, and kept, everything already
        _broken_is_said(made)


def _broken_is_said(made: Roles) -> None:
    """What the store of a primary cannot keep any more is shown as broken wherever somebody may look."""
    a, b, group = made.a, made.b, made.group
    (rescue,) = a.done("rescue", "list", group, "--json")["rescues"]
    assert rescue["broken"] is False
    a.done("group", "set", group, "preserve=1MiB")
    made.write(a, 4)
    for host in (a, b):
        (shown,) = host.done("rescue", "list", group, "--json")["rescues"]
        assert (shown["name"], shown["broken"]) == (rescue["name"], True)
    assert "broken: it lacks" in b.done("rescue", "list", group)
    assert f"broken: rescue {rescue['name']}" in a.done("status", group)
    refused = a.farshore("rescue", "export", group, rescue["name"])
    assert (refused.returncode, "is broken" in refused.stderr) == (4, True), refused.stderr
    assert f"farshore rescue delete {group} {rescue['name']}" in refused.stderr
    at = a.farshore("drill", "start", group, "--at", rescue["name"])
    assert (at.returncode, "is broken" in at.stderr) == (4, True), at.stderr
    delete = ("rescue", "delete", group, rescue["name"])
    plan = b.done(*delete, "--dry-run", "--json")["plan"]
    assert "is broken" in plan["lost"][0]
    b.done(*delete, "--accept", plan["id"])
    assert a.done("rescue", "list", group, "--json")["rescues"] == []
