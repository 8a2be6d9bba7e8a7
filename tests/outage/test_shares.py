"""A bound of the node holds for all its links together, and divides the line fairly between groups."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.outage.conftest import MakePair, Pair, _Groups
from tests.waiting import wait_until

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture(autouse=True)
def _no_bound_stays(sites: _Groups) -> Iterator[None]:
    yield
    for node in ("a", "b"):
        sites.cluster.a.done("node", "set", node, "max-rate=0")


def _rate(pair: Pair) -> int | None:
    rate: int | None = pair.link()["max_rate"]
    return rate


def _sent(pair: Pair) -> int:
    return int(pair.link()["sent_bytes_total"])


def _write(pair: Pair, size: int) -> None:
    with pair.client() as client:
        client.write_all((at, os.urandom(64 * KIB)) for at in range(0, size, 64 * KIB))


@pytest.mark.parametrize("node", ["a", "b"])
def test_two_groups_share_what_the_node_may_send(pair: MakePair, node: str) -> None:
    greedy, modest = pair(mode="async", wire="plain"), pair(mode="async", wire="plain")
    greedy.farshore("node", "set", node, "max-rate=2MiB/s")
    wait_until(lambda: _rate(greedy) and _rate(modest), what="both have a share")
    began, before = time.monotonic(), _sent(greedy) + _sent(modest)
    _write(greedy, 12 * MIB)
    _write(modest, 2 * MIB)
    modest.clean()
    took = time.monotonic() - began
    sent = _sent(greedy) + _sent(modest) - before
    assert sent <= (2 * MIB) * (took + 1.5)  # a second's worth may still go by the division before
    assert took < 5.0  # behind all of the other group's writes it would have taken seven seconds
    assert greedy.link()["queue"]["memory_bytes"] > 0
    greedy.farshore("node", "set", node, "max-rate=0")
    greedy.equal()
    modest.equal()


def test_a_link_that_is_alone_has_all_of_it_and_status_says_so(pair: MakePair) -> None:
    made = pair(mode="async")
    made.farshore("node", "set", "b", "max-rate=8MiB/s")
    wait_until(lambda: 7 * MIB <= (_rate(made) or 0) <= 8 * MIB, what="all of it")
    assert {each["name"]: each["max_rate"] for each in made.farshore("node", "list", "--json")["nodes"]}[
        "b"
    ] == 8 * MIB


def test_what_a_silent_engine_may_still_send_is_given_to_nobody_else(pair: MakePair) -> None:
    silent, writing = pair(mode="async", wire="plain"), pair(mode="async", wire="plain")
    writing.farshore("node", "set", "a", "max-rate=2MiB/s")
    wait_until(lambda: min(_rate(silent) or 0, _rate(writing) or 0) >= 0.9 * MIB, what="half of it for each")
    (pid,) = [each.pid for each in writing.a.node.show().engines if each.group == silent.group]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        before, began = _sent(writing), time.monotonic()
        _write(writing, 8 * MIB)
        wait_until(lambda: _sent(writing) - before >= 7 * MIB, what="7 MiB have left")
        assert time.monotonic() - began >= 6.5  # a division without the silent one would be known after three
    finally:
        os.kill(pid, signal.SIGCONT)
    writing.farshore("node", "set", "a", "max-rate=0")
    writing.equal()


def test_a_bound_that_is_taken_away_is_taken_away_from_every_link(pair: MakePair) -> None:
    made = pair(mode="async", wire="plain")
    made.farshore("node", "set", "a", "max-rate=1MiB/s")
    wait_until(lambda: _rate(made), what="a share")
    made.farshore("node", "set", "a", "max-rate=0")
    wait_until(lambda: _rate(made) is None, what="no bound")
    made.farshore("node", "set", "a", "max-rate=1MiB/s")
    wait_until(lambda: _rate(made), what="a share again")


def test_a_smaller_bound_reaches_the_others_while_one_engine_is_silent(pair: MakePair) -> None:
    silent, writing = pair(mode="async", wire="plain"), pair(mode="async", wire="plain")
    writing.farshore("node", "set", "a", "max-rate=64MiB/s")
    wait_until(lambda: (_rate(silent) or 0) and (_rate(writing) or 0) >= 16 * MIB, what="shares")
    (pid,) = [each.pid for each in writing.a.node.show().engines if each.group == silent.group]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        writing.farshore("node", "set", "a", "max-rate=2MiB/s")
        wait_until(lambda: 0 < (_rate(writing) or 0) <= 2 * MIB, what="a share of the smaller bound")
    finally:
        os.kill(pid, signal.SIGCONT)
