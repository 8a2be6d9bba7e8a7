"""A peer that answers and will not take a link is shown with its reason and the command that helps (F3)."""

import os
from typing import Any

from tests.cluster import Cluster, MakeCluster
from tests.waiting import wait_until

MIB = 1 << 20


def _link_that_says(made: Cluster, word: str) -> dict[str, Any]:
    """The link once its reason names this."""

    def look() -> dict[str, Any]:
        link = made.a.json_link("g")
        return link if word in (link["why"] or "") else {}

    return wait_until(look, 40.0, what=f"the link says {word!r}: {made.a.json_link('g')}")


def test_a_peer_that_ended_the_pairing_and_then_removed_the_copy(cluster: MakeCluster) -> None:
    made = cluster()
    made.group("g", {"v": "4MiB"})
    made.link("g", mode="sync")
    made.wait("g")

    made.b.done("node", "forget", "a")
    link = _link_that_says(made, "ended the pairing")
    assert (link["state"], link["reason"]) == ("logging", "peer-lost")
    assert "farshore node join" in link["next"]
    group = made.a.json("g")
    assert "ended the pairing" in group["why"]
    assert group["next"] == link["next"]
    assert "farshore node join" in made.a.done("status", "g")
    assert [each for each in made.a.node.events(0).events if each.kind == "link-refused"]

    made.b.done("group", "delete", "g")
    link = _link_that_says(made, "holds no copy")
    assert "farshore link delete" in link["next"]
    # A refusal proves nothing, so it does no more than a lost connection: the link keeps trying.
    with made.a.client("g") as client:
        client.write(0, b"x" * 4096)
    assert made.a.link("g").dirty_bytes


def test_an_engine_that_cannot_start_at_the_peer(cluster: MakeCluster) -> None:
    made = cluster()
    made.group("g", {"v": "4MiB"})
    made.link("g", mode="async")
    made.wait("g")
    image = made.b.image("g")
    os.truncate(image, 3 * MIB)
    made.b.kill_engine("g")
    link = _link_that_says(made, "size-mismatch")
    assert "at the peer" in link["next"]
    os.truncate(image, 4 * MIB)
    made.clean("g")
    assert made.a.json_link("g")["next"] == ""
