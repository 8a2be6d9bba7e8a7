"""Directed runs about reads that the primary's disk refuses, and about starts after a fault (rule C3)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from farshore.core.fault_texts import fault_id
from farshore.core.lookups import Lookups
from farshore.core.primary import Primary
from farshore.core.write_path import WritePath
from farshore.model.options import LinkState, ResyncKind
from sim.disk import Strike
from sim.scene import REGION, REGIONS, Scene
from sim.variant import Variant
from sim.world import BrokenRule

_ROUNDS = 6


def _read(scene: Scene, region: int) -> Callable[[], bytes | int | None]:
    """Begins to read a region that the disk refuses; the answer, once it is there, was checked."""
    floors, answers = dict(scene.truth.local.applied), list[bytes | int]()
    scene.primary.disk.strikes.append(Strike("pread", ".img", errno.EIO))
    scene.primary.read((1, region * REGION, REGION), answers.append)

    def answer() -> bytes | int | None:
        if answers and isinstance(answers[0], bytes):
            scene.truth.check_read((1, region * REGION, REGION), answers[0], floors)
        return answers[0] if answers else None

    return answer


def a_region_cannot_be_read(scene: Scene) -> None:
    """What a peer answers shows every write that was acknowledged before the read (C3)."""
    scene.peer.steps.slowest = 0.2
    for _ in range(_ROUNDS):
        scene.written(8)
        reads = [_read(scene, scene.world.random.randrange(REGIONS)) for _ in range(4)]
        scene.write(2)  # beside them
        scene.until(lambda: all(each() is not None for each in reads))  # noqa: B023
        if not all(isinstance(each(), bytes) for each in reads):
            raise BrokenRule("C3", "a read failed while a peer replicated")
        scene.in_step()


def a_region_cannot_be_read_in_a_resync(scene: Scene) -> None:
    """A peer that lacks anything is not asked (C3)."""
    for _ in range(_ROUNDS):
        scene.written_apart(12)
        scene.net.heal(scene.link)
        scene.until(lambda: scene.feeder.state is LinkState.RESYNCING)
        reads = [_read(scene, region) for region in range(REGIONS)]
        scene.until(lambda: all(each() is not None for each in reads))  # noqa: B023
        scene.in_step()


def a_region_is_repaired_under_load(scene: Scene) -> None:
    """What a repair writes is what the region should have shown, whatever else is written (C3)."""
    scene.peer.steps.slowest = 0.1
    for _ in range(_ROUNDS):
        scene.write(8)
        region = scene.world.random.randrange(REGIONS)
        scene.primary.core.rescue.remember((1, region * REGION, REGION), errno.EIO)
        scene.primary.disk.strikes.append(Strike("pread", ".img", errno.EIO))
        scene.primary.turn(scene.primary.core.faulting.repair)
        scene.write(4, [region] * 4)
        scene.until(lambda: not scene.primary.core.mending.running)
        scene.answered()
        scene.in_step()


def a_faulted_primary_is_started_again(scene: Scene) -> None:
    """Nothing is acknowledged after a failed sync, also by the next process, until a repair (C3)."""
    for _ in range(_ROUNDS):
        scene.written()
        scene.primary.disk.strikes.append(Strike("fdatasync", ".img", errno.EIO))
        scene.flush()
        scene.let_pass(0.1)
        if not scene.primary.header_file.header.fault:
            scene.primary.disk.strikes.clear()
            continue  # all of it had been synced already, or the operator was quick
        scene.primary.die(False)
        scene.until(lambda: scene.primary.running and scene.app.server is not None)
        scene.written(2)
        scene.until(lambda: scene.primary.running and not scene.primary.header_file.header.fault)
        scene.resync(scene.link, ResyncKind.UPDATE, once=False)
        scene.in_step()


def _a_faulted_primary_starts_by_itself(start: Any) -> Any:
    def start_anyway(self: Primary) -> Any:
        self.setup = replace(self.setup, repaired=fault_id(self.setup.header))
        return start(self)

    return start_anyway


def _reads_do_not_wait_for_the_journal(_: Any) -> Any:
    def go_on(self: Lookups) -> None:
        while self._waiting:
            session, _, query = self._waiting.popleft()
            self._read(session, query)

    return go_on


def _writes_go_on_during_a_repair(_: Any) -> Any:
    return lambda _path, _operation: False


VARIANTS = {
    "writes go on during a repair": Variant("C3", WritePath, "_barred", _writes_go_on_during_a_repair),
    "a faulted primary starts by itself": Variant(
        "C3", Primary, "start", _a_faulted_primary_starts_by_itself
    ),
    "a peer's volumes are read before its journal is in them": Variant(
        "C3", Lookups, "go_on", _reads_do_not_wait_for_the_journal
    ),
}
