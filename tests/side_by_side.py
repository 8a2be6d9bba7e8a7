"""Which tests may run side by side when several workers run them (`make test`), and which start first.

Tests of one group run in one worker, one after the other, as they do without workers. A package whose tests
share nodes is a group, any other module is one by itself. All tests with real devices are one group: while
an engine is held, its device answers nothing, and neither a sync of all file systems nor a look at the loop
devices ends before it does. What takes longest is handed out first, so that no worker is left with it alone.
"""

import os
import signal
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import NodeManager  # type: ignore[import-untyped]

DEVICES = "devices"
_WITH_DEVICES = (
    "tests/attached/",
    "tests/badinput/test_volumes.py",
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
    "tests/badinput/",
    "tests/fault/",
    "tests/shapes/",
    "tests/interop/",
)
"""Groups in the order in which they begin, followed by modules as they stand, the quick ones of `tests/unit`
at last."""
_QUICK = "tests/unit/"
_END_S = 30


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


def end_workers() -> None:
    """Tells the workers of this process, if it has any, to end what their tests have started. They get some
    time for it, since a worker that is killed leaves mounts and processes behind."""
    if InGroups.handing_out:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        for pid in children.split():
            os.kill(int(pid), signal.SIGTERM)


class InGroups(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole groups, in the order of the tests."""

    handing_out = False
    """Whether this process has workers, and no other children."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False  # it would put the groups with the most tests first
        super().__init__(config, log)
        InGroups.handing_out = True
        NodeManager.EXIT_TIMEOUT = _END_S

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
