"""A snapshot to drill on is found by its name, also where that is a date; else it is said what there is."""

import asyncio
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.node import drills
from farshore.node.copies import StoredCopy
from tests.unit.node.test_copy_layers import layer


class Keeping:
    """A copy, and an engine that keeps one snapshot."""

    def __init__(self, name: str) -> None:
        self.engine = self.config = self
        self.copy_name, self.group_name, self._name = "b", "orders", name

    async def ask(self, _op: str) -> dict[str, Any]:
        return {"layers": [layer(name=self._name)]}


def _found(kept: str, at: str) -> str:
    stored: Any = Keeping(kept)
    copy: StoredCopy = stored
    return asyncio.run(drills.layer_of(copy, at))


def test_a_snapshot_may_be_called_by_a_date() -> None:
    assert _found("2026-01-31", "2026-01-31") == "11" * 16


def test_a_date_that_names_no_snapshot_is_told_how_a_time_is_written() -> None:
    for at, said in (("2026-01-31", True), ("monday", False)):
        with pytest.raises(FarshoreError) as refused:
            _found("noon", at)
        assert refused.value.code.name == "not-found"
        assert ("2026-01-31T12:00:00Z" in refused.value.next_step) is said
        assert "noon" in refused.value.next_step
