"""A link that falls behind its RPO says so everywhere, and again when it has caught up."""

import os

from tests.outage.conftest import MakePair
from tests.waiting import wait_until

KIB, MIB = 1 << 10, 1 << 20


def test_beyond_its_rpo_a_group_is_behind_until_the_line_has_carried_what_waits(pair: MakePair) -> None:
    made = pair(mode="async", wire="plain", rpo="500ms")
    made.line.rate(128 * KIB)
    with made.client() as client:
        client.write_all((at, os.urandom(64 * KIB)) for at in range(0, 2 * MIB, 64 * KIB))
    made.wait("behind")
    link = made.link()
    assert link["rpo_seconds"] == 0.5
    assert link["lag_seconds"] > 0.5
    assert 0 < link["lag_bytes"] <= 2 * MIB
    assert 0 < link["lag_writes"] <= 32
    checked = made.a.farshore("check", made.group, "--max-lag", "200ms")
    assert (checked.returncode, "behind" in checked.stdout) == (2, True)
    assert made.a.farshore("check", made.group, "--max-lag", "10m").returncode == 1
    made.farshore("link", "set", made.group, "b", "rpo=10m")
    made.wait("protected")  # by the new measure
    made.farshore("link", "set", made.group, "b", "rpo=500ms")
    made.line.rate(None)
    made.equal()
    made.wait("protected")
    assert made.a.farshore("check", made.group, "--max-lag", "200ms").returncode == 0
    wait_until(lambda: made.told("link-within-rpo"), what="told that it has caught up")
    assert made.told("link-behind")[0]["rpo_seconds"] == 0.5


def test_both_ends_know_how_their_clocks_differ_and_when_the_newest_write_was_made(pair: MakePair) -> None:
    made = pair(mode="async")
    with made.client() as client:
        client.write(0, b"x" * 512)
    made.equal()
    wait_until(lambda: made.link()["clock_difference_seconds"] is not None, what="a measurement at a")
    link = made.link()
    assert abs(link["clock_difference_seconds"]) <= link["clock_uncertainty_seconds"] + 0.005  # one machine
    assert link["peer_usable_as_of"] >= made.b.json(made.group)["newest_write_at"]
    # The far end measures by its own heartbeats, which may come later.
    wait_until(
        lambda: made.b.json(made.group)["clock_difference_seconds"] is not None, what="a measurement at b"
    )


def test_a_copy_knows_as_of_when_it_is_and_ages_while_nobody_feeds_it(pair: MakePair) -> None:
    made = pair(mode="async")
    with made.client() as client:
        client.write(0, b"x" * 512)
    made.equal()
    written = made.b.json(made.group)["newest_write_at"]
    wait_until(
        lambda: (made.b.json(made.group)["usable_as_of"] or "") > written, what="told that it is current"
    )
    made.line.cut()
    wait_until(lambda: made.b.json(made.group)["health"] == "unprotected", what="the loss seen at b")
    stands = made.b.json(made.group)["usable_as_of"]
    with made.client() as client:
        client.write(0, b"y" * 512)
    made.line.heal()
    made.equal()
    wait_until(lambda: made.b.json(made.group)["usable_as_of"] > stands, what="told that it goes on")


def test_lag_grows_while_writes_wait_in_the_disk_queue(pair: MakePair) -> None:
    made = pair(mode="async", queue_disk="64MiB", rpo="1s")
    made.line.cut()
    made.wait("queuing")
    with made.client() as client:
        client.write(0, b"x" * 4096)
    made.wait("behind")  # because it is queuing, whatever the lag
    wait_until(lambda: (made.link()["lag_seconds"] or 0) > 1.0, what="a lag")
    link = made.link()
    assert (link["lag_writes"], link["lag_bytes"]) == (1, 4096)
    wait_until(lambda: made.told("link-behind"), what="told that it is behind")
    made.line.heal()
    made.equal()
    wait_until(lambda: made.link()["lag_seconds"] == 0, what="no lag")
