"""What the undo costs, told for an update of 256 MiB. It writes twice as much, so a disk that is the
bottleneck takes up to twice as long; else the update should take at most 1.3 times as long."""

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from farshore.model.options import LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.processes import Processes
from tests.requires import requires

MIB = 1 << 20
SIZE = 256 * MIB
ROUNDS = 6
MOST = 2.0

pytestmark = requires("qemu-io")


@pytest.mark.timeout(1200)
def test_an_update_with_an_undo_takes_little_longer(
    tmp_path: Path, socket_directory: Path, processes: Processes
) -> None:
    sites = Sites(processes, tmp_path, socket_directory)
    a, b, door = sites.pair({"data": SIZE}, LinkOptions(mode=Mode.SYNC))
    b.start()
    a.start()
    a.wait_for_link("replicating", 60)
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * ROUNDS):
        bare = bool(number % 2)
        assert b.terminate() == 0
        b.write_intent(replace(b.config, preserve=MIB if bare else 0))
        b.start()
        a.ask("peer-back", peer=None)
        a.wait_until_clean(120)
        door.shut()
        a.wait_for_link("logging")
        a.qemu_io(*[f"write -P {number + 1} {at}M 32M" for at in range(0, SIZE // MIB, 32)], "flush")
        door.open()
        began = time.monotonic()
        a.ask("resync", link="b", unprotected=bare)
        a.wait_for_link("replicating", 120)
        took[bare].append(time.monotonic() - began)
        a.wait_until_clean(120)
    door.close()
    ratio = median(took[False]) / median(took[True])
    print(f"{ratio:.2f} times as long: with an undo {took[False]} s, without {took[True]} s", flush=True)
    assert ratio <= MOST
