"""R2: moments that were chosen because something could be lost in them, met by many seeds, lose nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farshore.model.options import Apply, Mode
from sim import bounds_scenes, chain_scenes, feeder_scenes, keeping_scenes, read_scenes, scenes
from sim.chain_scenes import chained
from sim.run import run_seed
from sim.scene import Scene, directed

SEEDS = range(1, 21)
SCENES = (
    scenes.power_fails_after_a_flush,
    scenes.power_fails_in_a_resync,
    scenes.power_fails_after_a_killed_primary_has_found_its_place,
    scenes.power_fails_when_extents_have_cooled,
    scenes.a_local_sync_fails,
    scenes.a_local_write_fails,
    scenes.a_write_fails_at_the_peer,
    read_scenes.a_region_cannot_be_read,
    read_scenes.a_region_cannot_be_read_in_a_resync,
    read_scenes.a_region_is_repaired_under_load,
    read_scenes.a_faulted_primary_is_started_again,
    scenes.a_peer_is_rolled_back,
    scenes.a_peer_is_rolled_back_in_a_resync,
    scenes.a_resync_begins_while_the_journal_is_being_applied,
    scenes.a_peer_is_killed_soon_after_its_link_got_a_journal,
    keeping_scenes.a_primary_is_killed_while_it_saves,
    keeping_scenes.a_store_is_full_at_a_primary,
    keeping_scenes.a_primary_cannot_read_what_it_overwrites,
    keeping_scenes.a_store_cannot_be_opened_for_a_while,
    keeping_scenes.a_layer_begins_under_load,
)
FEEDER_SCENES = (
    feeder_scenes.a_state_directory_was_cloned,
    feeder_scenes.a_copy_follows_another_feeder_for_a_while,
)
_SMALL = {"queue_memory": 12 << 10}
BOUNDS_SCENES: tuple[tuple[Callable[[Scene], None], dict[str, int]], ...] = (
    (bounds_scenes.a_line_stands_still_under_load, _SMALL),
    (bounds_scenes.a_line_stands_still_under_load, _SMALL | {"queue_disk": 16 << 10}),
    (bounds_scenes.a_line_is_gone_for_longer_than_its_queue_lasts, _SMALL | {"queue_disk": 16 << 10}),
    (bounds_scenes.a_queue_overflows_in_a_resync, _SMALL),
    (bounds_scenes.one_region_is_written_all_the_time, {}),
    (bounds_scenes.a_line_is_late_when_a_resync_ends, {}),
)
CHAIN_SCENES = (
    chain_scenes.a_far_copy_comes_back_while_frames_come,
    chain_scenes.power_fails_at_a_relay_that_keeps_frames,
    chain_scenes.power_fails_after_a_relay_was_resynced,
)


@pytest.mark.parametrize("apply", list(Apply))
@pytest.mark.parametrize("script", SCENES, ids=lambda script: script.__name__)
def test_a_scene_breaks_no_rule(script: Callable[[Scene], None], apply: Apply) -> None:
    make = directed(script, apply=apply)
    assert [outcome.broken for seed in SEEDS if (outcome := run_seed(seed, make)).broken] == []


@pytest.mark.parametrize("script", FEEDER_SCENES, ids=lambda script: script.__name__)
def test_a_scene_of_two_feeders_breaks_no_rule(script: Callable[[Scene], None]) -> None:
    make = directed(script)
    assert [outcome.broken for seed in SEEDS if (outcome := run_seed(seed, make)).broken] == []


@pytest.mark.parametrize(
    ("script", "link"), BOUNDS_SCENES, ids=lambda given: getattr(given, "__name__", None)
)
def test_a_scene_of_a_full_queue_breaks_no_rule(
    script: Callable[[Scene], None], link: dict[str, int]
) -> None:
    make = directed(script, mode=Mode.ASYNC, **link)
    assert [outcome.broken for seed in SEEDS if (outcome := run_seed(seed, make)).broken] == []


@pytest.mark.parametrize("queue_disk", [0, 1 << 20])
@pytest.mark.parametrize("script", CHAIN_SCENES, ids=lambda script: script.__name__)
def test_a_scene_of_a_chain_breaks_no_rule(script: Callable[[Scene], None], queue_disk: int) -> None:
    make = chained(script, queue_disk=queue_disk)
    assert [outcome.broken for seed in SEEDS if (outcome := run_seed(seed, make)).broken] == []
