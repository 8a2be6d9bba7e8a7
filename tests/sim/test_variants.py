"""R9: each rule, broken on purpose, is caught by a seed on which the shipping code breaks none.

The oracle may notice the loss under another rule's name; what counts is that it notices.
"""

from __future__ import annotations

import pytest

from sim.run import run_seed
from sim.variants import VARIANTS, in_force

CAUGHT_BY = {
    "fold forgets the newest frame": 1,
    "fold starts at what is applied": 4,
    "frames leave before the activity log is durable": 1,
    "extents cool without a local sync": 14,
    "extents cool without marks": 62,
    "suspects are forgotten at start": 1,
    "suspects are resolved before a local sync": 82,
    "a live write cleans its region": 1,
    "fills count once they are applied": 117,
    "cleared bits are forgotten at once": 271,
    "an interrupted resync is not taken back": 74,
    "regions read while written are sent": 13,
    "any base will do": 4,
    "the base is not moved": 12,
    "the base moves to what was sent": 1,
    "nothing marks what is not logged": 7,
    "unknown is not durable before the first unlogged write": 70,
    "writes stay unlogged after a resync began": 7,
    "a disk queue is not sealed after an unclean stop": 6,
    "marks of a dropped disk queue are forgotten": 6,
    "frames go around the disk queue": 9,
    "a flush covers its connection only": 20,
    "a flush does not wait for peers": 6,
    "acknowledged when sent": 20,
    "acknowledged after an error": 6,
    "a failed sync is tried again": 6,
    "a failed write counts as applied": 11,
    "alone without a record": 2,
    "a freeze link lets go": 5,
    "sequences are used again": 1,
    "a power loss is not doubted": 6,
    "volumes are written before the journal is durable": 16,
    "the mark moves before the volumes are synced": 1,
    "a replay begins too late": 5,
    "a replay stops early": 6,
    "the replay is left out": 1,
    "a resync begins over a full journal": 6,
    "what is appended counts as durable": 1,
    "a cut counts during a resync": 2,
    "messages of other sessions count": 5,
}
NEARBY = 40
"""Seeds tried from the named one on, should a change of the core have moved the schedule."""


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_a_broken_rule_is_caught(name: str) -> None:
    tampering = VARIANTS[name].tampering
    for seed in range(CAUGHT_BY[name], CAUGHT_BY[name] + NEARBY):
        with in_force(name):
            caught = run_seed(seed, tampering=tampering).broken
        if caught:
            assert not run_seed(seed, tampering=tampering).broken
            return
    pytest.fail(f"no seed from {CAUGHT_BY[name]} on notices that {name}")


def test_every_variant_is_tried() -> None:
    assert set(CAUGHT_BY) == set(VARIANTS)


def test_each_rule_that_exists_so_far_is_broken_in_some_variant() -> None:
    rules = {"A1", "A2", "A3", "A4", "A5", "A6", "B2", "C1", "C3", "D1"}
    assert {VARIANTS[name].rule for name in CAUGHT_BY} >= rules
