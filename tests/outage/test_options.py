"""Options of a link that is in use: `link set` holds from the next write on."""

import os
import time

from farshore.demo.nbd_client import NbdClient
from tests.outage.conftest import MakePair

MIB = 1 << 20
_ONE_WAY_MS = 40


def _write_s(client: NbdClient) -> float:
    """How long a small write takes, in seconds; the fastest of a few, as others use the machine too."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        client.write(0, b"measured")
        times.append(time.monotonic() - began)
    return min(times)


def test_mode_decides_whether_a_write_waits_for_the_line(pair: MakePair) -> None:
    made = pair(mode="sync")
    made.line.delay(_ONE_WAY_MS)
    round_trip = 2 * _ONE_WAY_MS / 1000
    with made.client() as client:
        assert _write_s(client) >= round_trip
        made.farshore("link", "set", made.group, "b", "mode=async")
        assert _write_s(client) < round_trip
        assert made.link()["mode"] == "async"
        made.farshore("link", "set", made.group, "b", "mode=sync")
        made.wait("protected")
        assert _write_s(client) >= round_trip
    made.equal()


def test_max_rate_bounds_a_resync(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain")
    with made.client() as client:
        client.write_all((at, os.urandom(MIB)) for at in range(0, 6 * MIB, MIB))
    made.clean()
    made.farshore("link", "set", made.group, "b", "max-rate=4MiB/s")
    began = time.monotonic()
    made.farshore("resync", made.group, "--full")
    made.a.until(made.group, lambda seen: seen.links[0].state == "resyncing", "a full copy under way")
    made.wait("protected")
    assert time.monotonic() - began >= 1.0  # 6 MiB of data at 4 MiB/s, however large the first burst
    made.equal()


def test_max_rate_does_not_slow_holes_down(pair: MakePair) -> None:
    made = pair(512, mode="async", max_rate="1MiB/s")  # protected already
    assert made.link()["resent_bytes_total"] <= MIB


def test_options_are_still_there_after_node_and_engine_were_killed(pair: MakePair) -> None:
    made = pair(mode="async")
    made.farshore("link", "set", made.group, "b", "queue-memory=8MiB", "mode=sync", "rpo=7s")
    made.a.kill_node()
    made.a.start()  # it finds the engine again
    before = made.a.kill_engine(made.group)
    assert made.a.engine(made.group, other_than=before)
    made.wait("protected")
    link = made.link()
    assert (link["mode"], link["queue"]["memory_limit"]) == ("sync", 8 * MIB)
    shown = made.farshore("link", "show", made.group, "b", "--json")["options"]
    assert (shown["mode"], shown["queue_memory"], shown["rpo"]) == ("sync", 8 * MIB, 7.0)
    made.equal()
