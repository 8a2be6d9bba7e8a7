"""An operator is told which bytes of which volume a disk did not show, and of how many in all."""

from farshore.core.geometry import Geometry
from farshore.engine.unread import MOST_NAMED, told

KIB = 1 << 10
GEOMETRY = Geometry({1: 62 * KIB, 2: 64 * KIB}, 4 * KIB, 16 * KIB)
NAMES = {1: "data", 2: "log"}


def test_runs_are_put_together_and_end_with_their_volume() -> None:
    lacking = [(2, 0), (1, 14), (1, 15), (1, 3)]
    assert told([(1, 0, 16), (2, 0, 16)], lacking, GEOMETRY, NAMES) == {
        "where": "data at byte 12288 (4 KiB) and data at byte 57344 (6 KiB) and log at byte 0 (4 KiB)",
        "bytes": 14 * KIB,
    }


def test_only_what_was_to_be_kept_now_is_named() -> None:
    shown = told([(1, 2, 4)], [(1, 1), (1, 3), (1, 4), (2, 3)], GEOMETRY, {})
    assert shown == {"where": "volume 1 at byte 12288 (4 KiB)", "bytes": 4 * KIB}


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    shown = told([(2, 0, 16)], [(2, each) for each in range(0, 16, 2)], GEOMETRY, NAMES)
    assert str(shown["where"]).endswith(f"log at byte 24576 (4 KiB) and {8 - MOST_NAMED} more")
    assert shown["bytes"] == 32 * KIB
