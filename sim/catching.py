"""Where each broken rule of `sim.variants` shows: the kind of run whose seeds are tried for it.

Three kinds: a run of all faults, a small storm, a scene. Chosen so that about one seed in ten or more catches
the variant; which ones do changes with every change of the schedule, and is written down nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from farshore.model.options import Apply, Mode, OnOutage
from sim import bounds_scenes, chain_scenes, feeder_scenes, keeping_scenes, read_scenes, scenes
from sim.chain_scenes import chained
from sim.cluster import Cluster
from sim.run import any_life
from sim.scene import directed
from sim.steps import Doom, Phase
from sim.storms import DEATHS, chained_storm, storm

_JOURNALED: Final = storm(DEATHS, apply=Apply.JOURNAL)
_SNAPPED: Final = storm(DEATHS, snapshots=True, apply=Apply.JOURNAL)
_DISK_QUEUE: Final[dict[str, Any]] = {"mode": Mode.ASYNC, "queue_disk": 64 << 10, "queue_memory": 12 << 10}
_ASYNC: Final[dict[str, Any]] = {"mode": Mode.ASYNC}
_RELAYED: Final = chained_storm(f"{DEATHS} cut")
_KEPT: Final = chained_storm(f"{DEATHS} cut", queue_disk=64 << 10)
_ROLLED_BACK: Final = directed(scenes.a_peer_is_rolled_back)
_ROLLED_BACK_IN_A_RESYNC: Final = directed(scenes.a_peer_is_rolled_back_in_a_resync)


def _dies_before_the_end_of_a_resync(seed: int) -> Cluster:
    """When the header that ends a resync, its second one, is about to be written."""
    doom = Doom("header", 2, Phase.BEFORE, machine=seed % 2 == 0)
    return directed(scenes.a_copy_dies_in_a_resync_and_goes_back(doom, None))(seed)


SHOWN_BY: Final[dict[str, Callable[[int], Cluster]]] = {
    "fold forgets the newest frame": storm(f"{DEATHS} cut"),
    "fold starts at what is applied": storm(f"{DEATHS} cut hold"),
    "frames leave before the activity log is durable": storm(DEATHS),
    "extents cool without a local sync": directed(scenes.power_fails_when_extents_have_cooled),
    "extents cool without marks": storm(f"{DEATHS} cut"),
    "suspects are forgotten at start": storm(DEATHS),
    "suspects are resolved before a local sync": directed(
        scenes.power_fails_after_a_killed_primary_has_found_its_place
    ),
    "a live write cleans its region": storm("cut crash resync"),
    "fills count once they are applied": directed(scenes.power_fails_in_a_resync),
    "cleared bits are forgotten at once": _ROLLED_BACK_IN_A_RESYNC,
    "an interrupted resync is not taken back": _ROLLED_BACK_IN_A_RESYNC,
    "regions read while written are sent": storm("cut resync hold"),
    "any base will do": _ROLLED_BACK,
    "the base is not moved": _ROLLED_BACK,
    "the base moves to what was sent": storm(f"{DEATHS} cut"),
    "nothing marks what is not logged": storm("cut pause", ignored=True),
    "unknown is not durable before the first unlogged write": storm(f"{DEATHS} cut pause", ignored=True),
    "writes stay unlogged after a resync began": storm("cut pause", ignored=True),
    "a disk queue is not sealed after an unclean stop": storm(f"{DEATHS} cut", **_DISK_QUEUE),
    "marks of a dropped disk queue are forgotten": storm(f"{DEATHS} cut hold", **_DISK_QUEUE),
    "frames go around the disk queue": storm("cut hold half_open", **_DISK_QUEUE),
    "a flush covers its connection only": directed(scenes.power_fails_after_a_flush),
    "a flush does not wait for peers": directed(scenes.power_fails_after_a_flush),
    "acknowledged when sent": storm("kill crash cut half_open hold"),
    "acknowledged after an error": directed(scenes.a_local_write_fails),
    "a failed sync is tried again": directed(scenes.a_local_sync_fails),
    "a failed write counts as applied": directed(scenes.a_write_fails_at_the_peer),
    "alone without a record": storm(f"{DEATHS} cut"),
    "a freeze link lets go": storm(f"{DEATHS} cut hold", on_outage=OnOutage.FREEZE),
    "sequences are used again": any_life,
    "a power loss is not doubted": storm("crash cut"),
    "volumes are written before the journal is durable": _JOURNALED,
    "the mark moves before the volumes are synced": _JOURNALED,
    "a replay begins too late": _JOURNALED,
    "a replay stops early": _JOURNALED,
    "the replay is left out": _JOURNALED,
    "a resync begins over a full journal": directed(
        scenes.a_resync_begins_while_the_journal_is_being_applied, apply=Apply.JOURNAL
    ),
    "what is appended counts as durable": _JOURNALED,
    "frames are relayed before they are durable": chained_storm("cut"),
    "frames beyond the end of the queue are drained": chained(
        chain_scenes.a_far_copy_comes_back_while_frames_come, queue_disk=64 << 10
    ),
    "nothing is marked for hops in a resync": chained_storm("cut"),
    "hops go on while their copy is being resynced": chained_storm("cut"),
    "marks of a resync stay in memory": _RELAYED,
    "the journal is trimmed beyond acknowledgements": _KEPT,
    "frames go before their marks are durable": _RELAYED,
    "a scoreboard is trusted without a journal": _RELAYED,
    "a start forgets what was not relayed": _RELAYED,
    "reads do not know of waiting frames": chained_storm("cut resync hold slow_disk"),
    "a verify sends what was read beside writes": storm("cut slow_disk", verify_every=0.1),
    "a verify is answered beside frames": storm("cut", verify_every=0.1),
    "a verify is answered from volumes that lag": storm("cut", verify_every=0.1, apply=Apply.JOURNAL),
    "what is applied does not gather": storm("cut"),
    "a follower does not heed its feeder's queue": storm("cut", queue_memory=12 << 10),
    "a journal waits for a flush": storm("cut", apply=Apply.JOURNAL),
    "a stop leaves no record": storm("cut hold"),
    "a stop is where the peer was durable": storm("cut hold"),
    "a second instance of a feeder is let in": directed(feeder_scenes.a_state_directory_was_cloned),
    "a former feeder is let in": directed(feeder_scenes.a_copy_follows_another_feeder_for_a_while),
    "order does not come back in a resync": directed(
        bounds_scenes.a_queue_overflows_in_a_resync, queue_memory=12 << 10, **_ASYNC
    ),
    "writes are never held for a read": directed(bounds_scenes.one_region_is_written_all_the_time, **_ASYNC),
    "a resync makes its link sync": directed(bounds_scenes.a_line_is_late_when_a_resync_ends, **_ASYNC),
    "a memory queue has no bound": directed(
        bounds_scenes.a_line_stands_still_under_load, queue_memory=12 << 10, **_ASYNC
    ),
    "a disk queue has no bound": directed(
        bounds_scenes.a_line_is_gone_for_longer_than_its_queue_lasts,
        **(_DISK_QUEUE | {"queue_disk": 16 << 10}),
    ),
    "a hop is as old as its own lag": chained_storm("cut"),
    "a copy that is fed is as of now": chained_storm("cut hold"),
    "a faulted primary starts by itself": directed(read_scenes.a_faulted_primary_is_started_again),
    "writes go on during a repair": directed(read_scenes.a_region_is_repaired_under_load),
    "a peer's volumes are read before its journal is in them": directed(
        read_scenes.a_region_cannot_be_read, apply=Apply.JOURNAL
    ),
    "a region is overwritten before it is saved": directed(scenes.power_fails_in_a_resync),
    "an undo goes before the cut is durable": _dies_before_the_end_of_a_resync,
    "a full store lets everything through": directed(scenes.a_store_is_full_in_a_resync),
    "a roll-back leaves the proof of its resync": directed(scenes.a_roll_back_is_cut_off),
    "readers are shown what a resync overwrites": storm("cut kill"),
    "a primary overwrites before the save is durable": storm(DEATHS, layers=True),
    "a primary that starts forgets its layers": storm(DEATHS, layers=True),
    "only writes count as overwrites": storm(DEATHS, layers=True),
    "layers break before the header says so": directed(keeping_scenes.a_store_is_full_at_a_primary),
    "what cannot be read counts as zeroes": directed(keeping_scenes.a_primary_cannot_read_what_it_overwrites),
    "a store that cannot be opened was empty": directed(keeping_scenes.a_store_cannot_be_opened_for_a_while),
    "a layer begins before all is written": directed(keeping_scenes.a_layer_begins_under_load),
    "a layer begins before the volumes are synced": directed(keeping_scenes.a_layer_begins_under_load),
    "a layer begins before its position is recorded": _SNAPPED,
    "a layer of a direct copy begins before its sync": storm(DEATHS, snapshots=True),
    "a replay does not stop at a cut": _SNAPPED,
    "what is journaled is not saved": _SNAPPED,
    "a snapshot is taken in a resync": storm("cut resync kill", snapshots=True),
    "frames behind a cut do not wait": _SNAPPED,
    "a cut counts during a resync": storm("cut resync kill", cuts=True),
    "messages of other sessions count": storm("replay cut resync hold"),
}
