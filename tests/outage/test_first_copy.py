"""The first copy, made while the application writes, and what is said of it until it is complete."""

import os
import shutil
from pathlib import Path

import pytest

from tests.outage.conftest import VOLUME, MakePair, Pair
from tests.outage.writing import anywhere, writing

KIB, MIB = 1 << 10, 1 << 20


def _filled(made: Pair) -> None:
    """The first half is data, the rest a hole."""
    with made.client() as client:
        client.write_all((at, os.urandom(MIB)) for at in range(0, made.size // 2, MIB))
        client.flush()


def _place_at_b(made: Pair) -> Path:
    """Where a may place the copy, next to b's own files."""
    path = made.b.directory / f"{made.group}.img"
    made.b.done("node", "allow", made.a.name, "--path", str(path))
    return path


@pytest.mark.parametrize("first", ["full", "digest"])
def test_a_first_copy_is_complete_though_the_application_writes(first: str, pair: MakePair) -> None:
    made = pair(32)
    _filled(made)
    made.line.rate(24 * MIB, "forward")  # more than the application writes
    with made.client() as client, writing(client, anywhere(made.size, 4, 4096)) as application:
        made.place(mode="async", wire="plain", first=first)
        during = made.a.until(
            made.group,
            lambda seen: seen.links[0].state == "resyncing" and (seen.links[0].progress or 0) > 0.1,
            "a first copy that is under way",
        )
        assert during.health == "catching-up"
        assert during.links[0].reason == first
        assert during.links[0].peer_usable is False
        assert during.links[0].eta_seconds is not None
        application.go_on(20)
        made.line.rate(None)
        made.wait("protected")
        application.go_on(20)
    made.equal()
    assert made.link()["peer_usable"] is True


def test_holes_of_a_first_copy_are_nearly_free(pair: MakePair) -> None:
    made = pair(64)
    with made.client() as client:
        client.write(40 * MIB, os.urandom(MIB))
    travelled = made.travelled()
    made.place(mode="sync", wire="plain")
    made.equal()
    assert made.travelled() - travelled <= 1.25 * MIB
    assert made.image(made.b).stat().st_blocks * 512 <= 2 * MIB


def test_a_digest_copy_of_an_equal_volume_sends_next_to_nothing(pair: MakePair) -> None:
    made = pair(32)
    _filled(made)
    place = _place_at_b(made)
    shutil.copyfile(made.image(made.a), place)
    travelled = made.travelled()
    made.place(mode="sync", wire="plain", first="digest", place=f"{VOLUME}={place}")
    made.equal()
    assert made.link()["resent_bytes_total"] == 0
    assert made.travelled() - travelled <= made.size // 100


def test_a_digest_copy_finds_every_difference_and_sends_only_that(pair: MakePair) -> None:
    made = pair(32)
    _filled(made)
    place = _place_at_b(made)
    shutil.copyfile(made.image(made.a), place)
    planted = [0, 5 * MIB + 17, 16 * MIB - 1, 20 * MIB, made.size - 1]
    with place.open("r+b") as file:
        for at in planted:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0xFF]))
    made.place(mode="async", wire="tls", first="digest", place=f"{VOLUME}={place}")
    made.equal()
    # Two of the five lie in holes, which travel as such.
    assert 3 * 32 * KIB <= made.link()["resent_bytes_total"] <= 3 * 32 * KIB * 1.1


def test_a_place_that_holds_data_is_not_overwritten_by_a_full_copy(pair: MakePair) -> None:
    made = pair(16)
    place = _place_at_b(made)
    place.write_bytes(os.urandom(made.size))
    before = place.read_bytes()
    refused = made.a.farshore("link", "create", made.group, "b", "--place", f"{VOLUME}={place}")
    assert refused.returncode == 4
    assert "not-empty" in refused.stderr
    assert place.read_bytes() == before
    assert made.a.group(made.group).links == ()
