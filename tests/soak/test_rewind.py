"""The long form of a rewind: killed before every step, without a primary that could be asked, and at engines
whose former primary follows only by a plan (rules D7, E3). All ten recorded times are tried in this form of
`tests/integration/test_engine_rewind.py`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.demo.nbd_client import NbdClient
from tests.cluster import Cluster, clusters
from tests.command_line import pair
from tests.integration.conftest import Sites
from tests.integration.test_engine_rewind import LONGEST, OPTIONS, SIZE, go_back, record, wish
from tests.integration.turning import head_of, killed_at_steps, make_turners
from tests.processes import Processes
from tests.roles.conftest import MakeRoles, accepted
from tests.roles.test_rewind import image_of, snapshot, write
from tests.waiting import wait_until

STRIDE = 7


@pytest.fixture
def sites(tmp_path: Path, socket_directory: Path, processes: Processes) -> Sites:
    return Sites(processes, tmp_path, socket_directory)


@pytest.fixture
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeRoles]:
    with clusters(tmp_path_factory.mktemp("roles")) as make:
        made: Cluster = make(("a", "b", "c"), through_line=False)
        pair(made.b, made.c)
        yield MakeRoles(made)


@pytest.mark.timeout(3600)
def test_a_rewind_that_is_killed_before_any_step_ends_as_one_that_was_not(
    sites: Sites, tmp_path: Path
) -> None:
    turners = make_turners(sites, {"data": SIZE}, OPTIONS)
    recorded = record(turners, 4)
    moment, image = recorded.images[1]
    found = turners.b.ask("rewind-look", time=moment)
    assert turners.a.terminate() == 0
    assert turners.b.terminate() == 0
    wish(turners, found)
    *killed, whole = killed_at_steps(turners.b, tmp_path / "scratch", STRIDE, LONGEST)
    assert whole["role"] == "primary"
    assert whole["sequence"] == found["position"][1]
    assert {each["between"] for each in killed} == {"secondary", "primary"}
    for each in killed:
        same = {"step": 0, "between": "", "opened": False}
        assert {**each, **same} == {**whole, **same}, each["step"]
    (path,) = (tmp_path / "scratch").glob("*.img")
    assert path.read_bytes() == image


def test_d7_the_former_primary_follows_only_by_a_plan_and_becomes_equal(sites: Sites) -> None:
    turners = make_turners(sites, {"data": SIZE}, OPTIONS)
    recorded = record(turners, 4)
    a, b = turners.a, turners.b
    moment, image = recorded.images[2]
    found = b.ask("rewind-look", time=moment)
    assert a.terminate() == 0
    turners.demote(a)
    a.start()
    head = head_of(a)
    assert b.terminate() == 0
    go_back(turners, found)
    assert sites.image("b", "data").read_bytes() == image
    b.wait_for_link("diverged")
    assert sites.image("a", "data").read_bytes() == recorded.last, "nothing is overwritten unasked"
    (link,) = b.config.links
    b.write_intent(replace(b.config, links=(replace(link, consent=head),)))
    b.ask("reload")
    b.ask("resync", kind="update")
    b.wait_until_clean()
    wait_until(lambda: sites.image("a", "data").read_bytes() == image)
    client = NbdClient(b.uri())
    try:
        client.write(0, b"\7" * 4096)
        client.flush()
    finally:
        client.close()
    b.wait_until_clean()
    wait_until(lambda: sites.image("a", "data").read_bytes()[:4096] == b"\7" * 4096)


def test_without_its_primary_a_copy_goes_back_to_a_snapshot(roles: MakeRoles) -> None:
    made = roles(mode="sync", apply="journal")
    a, b, group = made.a, made.b, made.group
    write(made, a, 1)
    made.protected(a)
    before = image_of(made, a)
    snapshot(b, group, "noon")
    made.protected(a)
    write(made, a, 2)
    made.protected(a)
    a.hold()
    a.kill_node()
    a.kill_engine_of(group)
    accepted(b, "rewind", group, "--to", "noon")
    assert b.group(group).role == "primary"
    assert image_of(made, b) == before
    a.start()
    a.engine(group)
    a.hold()
    a.until(group, lambda seen: bool(seen.fenced), "a to hear of it")
    plan = b.node.split_brain_resolve(group, "b").plan
    assert plan.refusals == ()
    b.node.split_brain_resolve(group, "b", accept=plan.id)
    made.protected(b)
    made.equal()
    assert image_of(made, a) == before
