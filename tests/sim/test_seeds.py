"""R1: simulated lives of whole clusters under faults, no rule broken (targets: 1,000 seeds; the long form
runs 50,000). Each seed replays exactly: `python -m sim --seed N`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from sim.run import Outcome, run_seed
from tests.long_form import LONG
from tests.sim.processors import processors

SEEDS = 50_000 if LONG else 1_000
MINIMUM_WRITES = 200
MINIMUM_FAULTS = 10
EVENTS = (
    *(f"fault {name}" for name in ("cut", "half_open", "hold", "replay", "stall", "jump", "slow_disk")),
    *(f"death {phase} {lane}" for phase in ("before", "torn", "after") for lane in ("activity", "apply")),
    *(f"death {phase} {lane}" for phase in ("before", "torn", "after") for lane in ("header", "position")),
    *(f"death {phase} {lane}" for phase in ("before", "torn", "after") for lane in ("write", "sync", "open")),
    *(f"{kind} {role}" for kind in ("process end", "machine crash") for role in ("primary", "secondary")),
    *(f"process end {role} in a resync" for role in ("primary", "secondary")),
    *(f"machine crash {role} in a resync" for role in ("primary", "secondary")),
    *(f"primary disk: pwrite of {name} failed" for name in (".img", "header", "activity", ".board")),
    *(f"primary disk: fdatasync of {name} failed" for name in (".img", "header", "activity", ".board")),
    *(f"secondary disk: pwrite of {name} failed" for name in (".img", "header", "position")),
    *(f"secondary disk: fdatasync of {name} failed" for name in (".img", "header", "position")),
    *(f"note link-state resyncing ({kind})" for kind in ("update", "full", "digest")),
    *(f"death {phase} {lane}" for phase in ("before", "torn", "after") for lane in ("append", "journal")),
    *(f"death {phase} replay" for phase in ("before", "torn", "after")),
    *(f"secondary disk: {operation} of .seg failed" for operation in ("pwrite", "fdatasync", "pread")),
    *(f"death {phase} preserve" for phase in ("before", "torn", "after")),
    *(f"secondary disk: {operation} of .layer failed" for operation in ("pwrite", "fdatasync")),
    *(f"primary disk: {operation} of .layer failed" for operation in ("pwrite", "fdatasync", "pread")),
    "layer of a primary",
    "note layer-broken",
    "rolled back",
    "note link-state logging (store-full)",
    "frames replayed",
    "note link-state logging (queue-full)",
    "note link-state logging (peer-lost)",
    "note link-state logging (local-error)",
    "note link-state replicating (in-order)",
    "note resync-complete",
    "note link-paused",
    "note unlogged",
    "note cut",
    "note cut-missed",
    "note faulted",
    "note second-feeder-refused",
    "refused without a plan",
    *(f"death {phase} board" for phase in ("before", "torn", "after")),
    *(f"death {phase} recall" for phase in ("torn", "after")),
    "hop drained from the journal",
    "hop resynced after an upstream resync",
    "hop logging (upstream-resyncing)",
    "hop logging (queue-full)",
    "hop queuing (peer-lost)",
    "hop link-paused",
    "hop made while frames come",
    "relay killed in a resync",
    "upstream generation changed in step",
    "tampered: rolled back",
    "tampered: wiped",
)


def outcomes(seeds: range) -> Iterator[Outcome]:
    with processors() as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=5)


@pytest.mark.timeout(14_400 if SEEDS > 1_000 else 1_800)
def test_no_seed_breaks_a_rule_and_every_kind_of_event_is_reached() -> None:
    reached: Counter[str] = Counter()
    broken: dict[int, str] = {}
    writes, faults = [], []
    for outcome in outcomes(range(1, SEEDS + 1)):
        if outcome.broken:
            broken[outcome.seed] = outcome.broken.splitlines()[0]
        elif outcome.report is not None:
            reached.update(outcome.report.reached)
            writes.append(outcome.report.writes)
            faults.append(outcome.report.faults)
    assert not broken, broken
    assert len(writes) == SEEDS
    assert min(writes) >= MINIMUM_WRITES
    assert min(faults) >= MINIMUM_FAULTS
    for event in EVENTS:
        assert reached[event], f"{event} was never reached: {reached}"


def test_a_seed_replays_exactly() -> None:
    first, second = run_seed(7), run_seed(7)
    assert first.report == second.report
    assert not first.broken
