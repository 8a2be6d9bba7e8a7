"""An async link and its queue: a full one turns writes into marks, not stalls, and order comes back."""

import time

from tests.outage.conftest import MakePair, Pair
from tests.outage.writing import anywhere, records, writing
from tests.waiting import wait_until

MIB = 1 << 20


def test_a_full_queue_falls_to_logging_and_returns_by_itself(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB")
    made.line.rate(8 * MIB, "forward")
    with made.client() as client:
        began = time.monotonic()
        client.write_all((offset, data * 16) for offset, data in _every(16, made.size))
        took = time.monotonic() - began
    assert took < made.size / (8 * MIB)  # the application is faster than the line
    made.equal()
    wait_until(lambda: _states(made)[-1:] == ["replicating"], what="the events of the return")
    assert "logging (queue-full)" in _states(made)
    assert made.link()["queue"]["memory_limit"] == MIB


def test_the_queue_is_bounded_while_the_application_never_rests(pair: MakePair) -> None:
    made = pair(16, mode="async", queue_memory="1MiB")
    made.line.rate(4 * MIB, "forward")
    with made.client() as client, writing(client, anywhere(made.size, 5)) as application:
        for _ in range(20):
            application.go_on(20)
            assert made.link()["queue"]["memory_bytes"] <= 2 * MIB
    made.line.rate(None)
    made.equal()


def test_a_queue_that_is_large_enough_keeps_order_over_a_slow_line(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="32MiB")
    before = made.link()["resent_bytes_total"]
    made.line.rate(2 * MIB, "forward")
    with made.client() as client:
        client.write_all(records(8 * MIB))
    assert (made.link()["lag_bytes"] or 0) > MIB
    made.equal()
    assert "logging (queue-full)" not in _states(made)
    assert made.link()["resent_bytes_total"] == before


def test_one_overflow_within_a_resync_does_not_keep_order_away(pair: MakePair) -> None:
    """The application dirties regions faster than the line could copy each of them again, but what it
    writes the line carries with ease."""
    made = pair(32, mode="async", wire="plain", region="128KiB", queue_memory="1MiB")
    with made.client() as client:
        client.write_all((at, bytes([1 + at % 251]) * MIB) for at in range(0, made.size, MIB))
    made.clean()
    made.line.rate(64 * MIB)
    pieces = anywhere(made.size, 7, longest=4096)
    with made.client() as client, writing(client, pieces, per_second=2000) as application:
        application.go_on(100)
        made.line.stall()
        made.wait("logging")
        made.line.heal()
        made.wait("resyncing")
        made.line.stall()
        application.go_on(600)
        made.line.heal()
        made.a.until(made.group, lambda seen: seen.links[0].state == "replicating", "the return to order")
    made.equal()


def _states(made: Pair) -> list[str]:
    """The states that the link has been in, with the reasons for logging."""
    return [
        f"logging ({each['reason']})" if each["state"] == "logging" else each["state"]
        for each in made.told("link-state")
    ]


def _every(count: int, size: int) -> list[tuple[int, bytes]]:
    """Every so manieth record."""
    return list(records(size))[::count]
