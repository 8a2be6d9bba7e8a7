"""The scripts of directed runs (`sim.scene`): moments that a storm meets too rarely to wait for."""

from __future__ import annotations

import errno

from farshore.model.options import Apply, LinkState, ResyncKind
from sim.disk import Strike
from sim.scene import EXTENTS, Scene, Script
from sim.site import Site
from sim.steps import Doom, Phase

_ROUNDS = 4


def _break_volume(site: Site, operation: str) -> None:
    """The next such operation on a volume's file fails."""
    site.disk.strikes.append(Strike(operation, ".img", errno.EIO))


def power_fails_after_a_flush(scene: Scene) -> None:
    """What a flush covers survives the peer's power (C1)."""
    for _ in range(_ROUNDS):
        scene.written()
        scene.flush()
        scene.peer.die(True)
        scene.in_step()


def power_fails_in_a_resync(scene: Scene) -> None:
    """What a resync says that it has settled survives the peer's power (A4)."""
    for _ in range(_ROUNDS):
        scene.written_apart(12)
        scene.resyncing()
        scene.peer.die(True)
        scene.in_step()


def a_store_is_full_in_a_resync(scene: Scene) -> None:
    """What cannot be saved is not overwritten: the copy can go back, and waits for an operator (E2)."""
    for _ in range(_ROUNDS):
        scene.written_apart(12)
        scene.net.heal(scene.link)
        scene.until(lambda: scene.peer.running and scene.peer.header_file.header.undo)
        scene.peer.disk.strikes.append(Strike("pwrite", ".layer", errno.ENOSPC))
        scene.until(lambda: not scene.peer.disk.strikes or scene.feeder.replicating)
        scene.peer.disk.strikes.clear()
        scene.let_pass(0.01)
        scene.peer.die(True)
        scene.until(lambda: scene.feeder.state is not LinkState.RESYNCING)
        scene.resync(scene.link, ResyncKind.UPDATE, once=False)
        scene.in_step()


def a_copy_dies_in_a_resync_and_goes_back(doom: Doom, restored: Doom | None) -> Script:
    """Wherever a copy dies while it is resynced, and again while it goes back: it is what it was, or whole,
    and gets what it lacks (E1, E3)."""

    def script(scene: Scene) -> None:
        scene.written_apart(12)
        scene.peer.steps.doom = doom
        scene.peer.preserve.goes_back = True
        scene.net.heal(scene.link)
        scene.write(4)
        scene.peer.next_doom = restored
        scene.in_step()
        scene.peer.steps.doom = scene.peer.next_doom = None
        scene.peer.preserve.goes_back = False

    return script


def a_roll_back_is_cut_off(scene: Scene) -> None:
    """A copy whose roll-back was cut off, and that is fed again after all, gets everything anew (E3)."""
    for _ in range(_ROUNDS):
        scene.written_apart(12)
        scene.resyncing()
        scene.peer.die(False)
        scene.peer.preserve.goes_back = True
        scene.peer.next_doom = Doom("restore", 1, Phase.AFTER, machine=False)
        scene.until(lambda: scene.peer.running or scene.peer.next_doom is None)
        scene.until(lambda: not scene.peer.running)
        scene.peer.preserve.goes_back = False
        scene.in_step()


def power_fails_after_a_killed_primary_has_found_its_place(scene: Scene) -> None:
    """What a killed process left in the cache is on the disk before its extents are forgotten (A3)."""
    for _ in range(_ROUNDS):
        scene.written(4, EXTENTS[0])
        scene.primary.die(False)
        scene.in_step()
        scene.written(1, EXTENTS[3])  # the first that the activity log hears of since then
        scene.primary.die(True)
        scene.in_step()


def a_local_sync_fails(scene: Scene) -> None:
    """A flush whose sync failed is never answered with success (C3)."""
    scene.written()
    _break_volume(scene.primary, "fdatasync")
    scene.flush()
    scene.primary.die(True)


def a_local_write_fails(scene: Scene) -> None:
    """A write that failed is never answered with success (C3)."""
    for _ in range(_ROUNDS):
        _break_volume(scene.primary, "pwrite")
        scene.written()
        scene.primary.die(False)
        scene.in_step()


def a_write_fails_at_the_peer(scene: Scene) -> None:
    """A peer never says that it applied what its disk refused (C3)."""
    for _ in range(_ROUNDS):
        _break_volume(scene.peer, "pwrite")
        scene.written()
        scene.in_step()


def a_peer_is_rolled_back(scene: Scene) -> None:
    """A peer that lacks what it once had is never taken for one that has it (A5)."""
    backup = scene.back_up()
    scene.written()
    scene.in_step()
    scene.roll_back(backup)
    scene.in_step()


def a_peer_is_rolled_back_in_a_resync(scene: Scene) -> None:
    """What a resync has settled counts again when the peer is what it was before it (A4)."""
    backup = scene.back_up()
    scene.written_apart(12)
    scene.resyncing()
    scene.roll_back(backup)
    scene.in_step()


def power_fails_when_extents_have_cooled(scene: Scene) -> None:
    """What was written to an extent is on the disk before the activity log forgets it (A2)."""
    for _ in range(_ROUNDS):
        for extent in EXTENTS[:3]:
            scene.write(2, extent)
        scene.in_step()  # durable at the peer; here it need not be
        scene.written(1, EXTENTS[3])  # one more than there is room for
        scene.primary.die(True)
        scene.in_step()


def a_resync_begins_while_the_journal_is_being_applied(scene: Scene) -> None:
    """What only the journal has goes to the volumes before there is no journal (E1)."""
    for _ in range(_ROUNDS):
        scene.peer.steps.slowest = 1.0
        for _ in range(6):
            scene.written(1)  # so that each is a frame, and all together take their time
        scene.until(lambda: scene.feeder.acked.durable == scene.primary.core.sequence)
        scene.cut()
        scene.write(1)
        scene.net.heal(scene.link)
        scene.in_step()


def a_peer_is_killed_soon_after_its_link_got_a_journal(scene: Scene) -> None:
    """A journal that begins in the middle of a generation begins where a start will look for it (B2)."""
    scene.set_link(queue_disk=64 << 10)
    scene.in_step()
    for _ in range(_ROUNDS):
        scene.written(2)
        scene.set_link(apply=Apply.JOURNAL)
        scene.net.cut(scene.link)
        scene.net.heal(scene.link)
        scene.until(lambda: scene.feeder.state is not LinkState.REPLICATING)
        scene.until(lambda: scene.feeder.state is LinkState.REPLICATING)
        scene.write(2)
        scene.flush()
        scene.peer.die(False)
        scene.in_step()
        scene.set_link(apply=Apply.DIRECT)
        scene.in_step()
