"""After an outage only what changed travels, whatever kind of link it was and however it was written."""

import os
import random
from datetime import UTC, datetime

import pytest

from tests.outage.conftest import MakePair

KIB, MIB = 1 << 10, 1 << 20
_ENOUGH = 1.1
"""What may travel for each byte of a changed region."""


def _pieces(size: int, seed: int) -> list[tuple[int, bytes]]:
    """Scattered writes of 4 KiB, some of them twice, and one stretch of 1 MiB that begins anywhere."""
    chosen = random.Random(seed)
    scattered = [block * 4 * KIB for block in chosen.sample(range(size // (4 * KIB)), 60)]
    scattered += scattered[:20]
    pieces = [(offset, chosen.randbytes(4 * KIB)) for offset in scattered]
    begin = chosen.randrange(size - MIB)
    return [*pieces, (begin, chosen.randbytes(MIB))]


def _regions(pieces: list[tuple[int, bytes]], region: int) -> int:
    """How many regions the pieces touch."""
    touched: set[int] = set()
    for offset, data in pieces:
        touched.update(range(offset // region, (offset + len(data) - 1) // region + 1))
    return len(touched)


@pytest.mark.parametrize(
    ("region", "mode", "wire"),
    [(4, "sync", "plain"), (32, "async", "tls")],
)
def test_no_more_than_what_changed_travels(region: int, mode: str, wire: str, pair: MakePair) -> None:
    made = pair(32, region=f"{region}KiB", mode=mode, wire=wire)
    with made.client() as client:
        client.write_all((at, os.urandom(MIB)) for at in range(0, made.size, MIB))
    made.equal()
    before = made.link()
    stood_at = made.a.json(made.group)["sequence"]
    cut_at = datetime.now(UTC)
    made.line.cut()
    made.wait("logging")
    pieces = _pieces(made.size, seed=region)
    with made.client() as client:
        client.write_all(pieces)
    changed = _regions(pieces, region * KIB) * region * KIB

    lost = made.link()
    assert (lost["state"], lost["reason"], lost["peer_usable"]) == ("logging", "peer-lost", True)
    assert lost["stopped_at"] == stood_at  # B5: one sequence, and its time
    assert abs((datetime.fromisoformat(lost["stopped_time"]) - cut_at).total_seconds()) < 5
    assert lost["dirty_bytes"] == changed
    travelled = made.travelled()
    made.line.heal()
    made.equal()  # the link comes back by itself
    resent = made.link()["resent_bytes_total"] - before["resent_bytes_total"]
    assert changed <= resent <= _ENOUGH * changed
    assert changed <= made.travelled() - travelled <= _ENOUGH * changed


def test_zeroes_that_replaced_data_are_nearly_free(pair: MakePair) -> None:
    made = pair(16, mode="sync", wire="plain")
    with made.client() as client:
        client.write_all((at, os.urandom(MIB)) for at in range(0, made.size, MIB))
        made.equal()
        made.line.cut()
        made.wait("logging")
        client.write(0, bytes(4 * MIB))
        client.trim(8 * MIB, 4 * MIB)
    assert made.link()["dirty_bytes"] == 8 * MIB
    travelled = made.travelled()
    made.line.heal()
    made.equal()
    assert made.travelled() - travelled <= 128 * KIB


def test_an_outage_without_writes_copies_nothing(pair: MakePair) -> None:
    made = pair(16, mode="sync")
    with made.client() as client:
        client.write(0, os.urandom(4 * MIB))
    made.equal()
    before, travelled = made.link(), made.travelled()
    made.line.cut()
    made.wait("logging")
    made.line.heal()
    made.wait("protected")
    assert made.link()["resent_bytes_total"] == before["resent_bytes_total"]
    assert made.travelled() - travelled <= 64 * KIB
    made.equal()


def test_an_outage_within_an_update_loses_nothing_and_repeats_little(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain")
    made.farshore("link", "set", made.group, "b", "max-rate=2MiB/s")
    made.line.cut()
    made.wait("logging")
    with made.client() as client:
        client.write_all((at, os.urandom(MIB)) for at in range(0, 8 * MIB, MIB))
    travelled = made.travelled()
    made.line.heal()
    made.a.until(
        made.group,
        lambda seen: seen.links[0].state == "resyncing" and (seen.links[0].progress or 0) > 0.7,
        "an update that is under way",
    )
    made.line.cut()
    made.wait("logging")
    interrupted = made.link()
    assert interrupted["peer_usable"] is True  # as what it was before the update (E1)
    assert interrupted["dirty_bytes"] == 8 * MIB  # A4: none of it counts as clean before the completion cut
    made.farshore("link", "set", made.group, "b", "max-rate=0")
    made.line.heal()
    made.equal()
    # What was not yet durable when the line went is sent again, and nothing else.
    assert made.travelled() - travelled <= _ENOUGH * 8 * MIB + 3 * MIB
