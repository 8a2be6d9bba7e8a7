"""Links that would close a ring, feed a copy twice, or begin where they cannot: refused, nothing changed."""

import pytest

from tests.badinput.scene import Expected, Scene


@pytest.mark.parametrize("name", ["", "--name back"])
def test_a_secondary_does_not_feed_what_feeds_it(scene: Scene, name: str) -> None:
    expected = Expected("ring", "farshore topology orders")
    error = scene.refused(scene.b, f"link create orders a {name}", expected)
    assert "close a ring" in error["what"]
    error = scene.refused(
        scene.a, f"link create orders a --via b {name}", Expected("ring", "farshore topology orders")
    )
    assert "close a ring" in error["what"]


@pytest.mark.parametrize("option", ["--mode sync --on-outage freeze", "--on-full block"])
def test_a_hop_cannot_hold_the_application(scene: Scene, option: str) -> None:
    error = scene.refused(scene.b, f"link create orders a {option}", Expected("usage", "for this link"))
    assert "at a secondary no application writes" in error["what"]


def test_a_hop_to_a_node_that_the_middle_one_does_not_know(scene: Scene) -> None:
    error = scene.refused(scene.a, "link create orders c --via b", Expected("not-found", "pair b and c"))
    assert error["what"] == "b is not paired with c"
    scene.refused(scene.b, "link create orders c", Expected("not-found", "farshore node list"))


def test_a_hop_via_a_node_that_cannot_feed_it(scene: Scene) -> None:
    scene.refused(scene.a, "link create orders b --via c", Expected("not-found", "farshore topology"))
    scene.refused(scene.a, "link create orders c --via nobody", Expected("not-found", "farshore node list"))
    scene.refused(scene.a, "link create orders c --via b/m1", Expected("not-found", "its copies: b"))
    scene.refused(scene.a, "link create orders b --via b", Expected("usage", "--via"))
    scene.refused(scene.a, "link create orders b --via b/x/y", Expected("usage", "letter or digit"))
    scene.refused(scene.a, "link create nothing c --via b", Expected("not-found", "farshore group list"))


def test_a_copy_is_not_fed_twice(scene: Scene) -> None:
    scene.refused(scene.a, "link create orders b --name b", Expected("exists", "--name"))
    place = f"--place data={scene.b.image('orders')}"
    scene.refused(scene.a, f"link create orders b --name twice {place}", Expected("in-use", "another path"))


def test_a_link_is_not_pointed_where_it_leads_from_or_nowhere(scene: Scene) -> None:
    reroute = "link reroute orders"
    error = scene.refused(scene.a, f"{reroute} b --via a", Expected("wrong-state", "farshore topology"))
    assert "a feeds the copy of orders at b already" in error["what"]
    scene.refused(scene.a, f"{reroute} b --via b", Expected("usage", "another node"))
    scene.refused(scene.a, f"{reroute} b --via c", Expected("not-found", "farshore topology"))
    scene.refused(scene.a, f"{reroute} b --via nobody", Expected("not-found", "farshore node list"))
    scene.refused(scene.a, f"{reroute} nothing --via a", Expected("not-found", "its links: b"))
    scene.refused(scene.b, f"{reroute} b --via b", Expected("not-found", "its links: none"))
    scene.unharmed()
