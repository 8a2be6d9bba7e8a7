"""Rules about the layers of a primary, broken on purpose; see `sim.variants`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from farshore.core import primary as composition
from farshore.core.keeping import Keeping
from farshore.core.moment import Moment
from farshore.core.write_path import WritePath
from farshore.model.volumes import WRITE, Operation
from farshore.store import preserve as store_of_layers
from sim.variant import Variant


def _a_primary_overwrites_before_the_save_is_durable(saved: Any) -> Any:
    def ask_and_go_on(self: WritePath, operations: Iterable[Operation]) -> bool:
        saved(self, operations)
        return True

    return ask_and_go_on


def _a_primary_that_starts_forgets_its_layers(init: Any) -> Any:
    def without_layers(self: Keeping, primary: Any) -> None:
        init(self, primary)
        primary.path.saves = None

    return without_layers


def _only_writes_count_as_overwrites(saved: Any) -> Any:
    def ask_for_writes(self: WritePath, operations: Iterable[Operation]) -> bool:
        answer: bool = saved(self, [each for each in operations if each[1] == WRITE])
        return answer

    return ask_for_writes


def _layers_break_before_the_header_says_so(give_up: Any) -> Any:
    def at_once(self: Keeping, why: str) -> None:
        give_up(self, why)
        self.preserve.give_up([each.id for each in self.preserve.layers])

    return at_once


def _a_store_that_cannot_be_opened_was_empty(_: Any) -> Any:
    return lambda header, _image: header


def _what_cannot_be_read_counts_as_zeroes(read: Any) -> Any:
    def or_zeroes(disk: Any, volume: int, offset: int, length: int) -> bytes:
        found: bytes | None = read(disk, volume, offset, length)
        return bytes(length) if found is None else found

    return or_zeroes


def _a_layer_begins_before_all_is_written(advance: Any) -> Any:
    def at_once(self: Moment) -> None:
        path = self._primary.path
        unwritten, path.unwritten = path.unwritten, type(path.unwritten)()
        advance(self)
        path.unwritten = unwritten

    return at_once


def _a_layer_begins_before_the_volumes_are_synced(advance: Any) -> Any:
    def without_a_sync(self: Moment) -> None:
        path = self._primary.path
        sync_now = path.sync_now
        path.sync_now = lambda then: then()  # type: ignore[method-assign]
        advance(self)
        path.sync_now = sync_now  # type: ignore[method-assign]

    return without_a_sync


VARIANTS: Final[dict[str, Variant]] = {
    "a primary overwrites before the save is durable": Variant(
        "E1", WritePath, "_saved", _a_primary_overwrites_before_the_save_is_durable
    ),
    "a primary that starts forgets its layers": Variant(
        "E1", Keeping, "__init__", _a_primary_that_starts_forgets_its_layers
    ),
    "only writes count as overwrites": Variant("E1", WritePath, "_saved", _only_writes_count_as_overwrites),
    "layers break before the header says so": Variant(
        "E2", Keeping, "_give_up", _layers_break_before_the_header_says_so
    ),
    "what cannot be read counts as zeroes": Variant(
        "E1", store_of_layers, "_read_or_none", _what_cannot_be_read_counts_as_zeroes
    ),
    "a store that cannot be opened was empty": Variant(
        "E2", composition, "marked", _a_store_that_cannot_be_opened_was_empty
    ),
    "a layer begins before all is written": Variant(
        "H", Moment, "advance", _a_layer_begins_before_all_is_written
    ),
    "a layer begins before the volumes are synced": Variant(
        "H", Moment, "advance", _a_layer_begins_before_the_volumes_are_synced
    ),
}
