"""Which tests may run side by side when several workers run them (`make test`), and which start first.

Tests of one group run in one worker, one after the other, as they do without workers. A package whose tests
share nodes is a group, any other module is one by itself. All tests with real devices are one group: while
an engine is held, its device answers nothing, and neither a sync of all file systems nor a look at the loop
devices ends before it does. What takes longest is handed out first, so that no worker is left with it alone.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

DEVICES = "devices"
_WITH_DEVICES = (
    "tests/attached/",
    "tests/badinput/",
    "tests/device/",
    "tests/integration/test_dead_devices.py",
    "tests/interop/test_ext4.py",
    "tests/packages/",
    "tests/postgres/",
    "tests/service/",
    "tests/unit/store/test_claim.py",
)
_LONG = (
    "tests/sim/",
    DEVICES,
    "tests/order/",
    "tests/outage/",
    "tests/fault/",
    "tests/shapes/",
    "tests/interop/",
)
"""Groups in the order in which they begin, followed by modules as they stand, the quick ones of `tests/unit`
at last."""
_QUICK = "tests/unit/"


def group_of(test: str) -> str:
    """The group of a test, from its id."""
    if test.startswith(_WITH_DEVICES):
        return DEVICES
    return next((each for each in _LONG if test.startswith(each)), test.partition("::")[0])


def longest_first(items: list[pytest.Item]) -> None:
    """Brings tests into the order in which groups are handed out; within a group it stays as it is."""

    def rank(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return _LONG.index(group) if group in _LONG else len(_LONG) + group.startswith(_QUICK)

    items.sort(key=rank)


class InGroups(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole groups, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False  # it would put the groups with the most tests first
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
