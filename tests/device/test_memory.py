"""Memory that can only be had by writing through ourselves: nobody may wait for himself.

The application, and in the other form the engine and the device process as well, live in a group whose limit
is far smaller than what is written, so that pages of the file system on the device have to be written out
while the device works for them. A deadlock would show as a round that does not end; then the limit is
lifted, so that nothing hangs for ever, and the test fails. Soak rounds: `tests/soak`.
"""

from pathlib import Path

import pytest

from tests.device.conftest import MakeDevice
from tests.device.limits import in_both_forms, requires_memory_limits
from tests.device.writeback import Pressure
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [requires("mkfs.ext4"), requires_fuse(), requires_root(), requires_memory_limits()]


@pytest.mark.timeout(170)
@in_both_forms()
def test_writeback_through_the_device_does_not_wait_for_itself(
    everybody: bool,
    disk_path: Path,
    socket_directory: Path,
    attach: MakeDevice,
    processes: Processes,
) -> None:
    pressure = Pressure(disk_path, socket_directory, attach, processes)
    assert pressure.play(rounds=3, everybody=everybody) > 0
