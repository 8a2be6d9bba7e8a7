"""A device grows while programs have it open, once it is told that its volume has grown."""

import json
import os
import threading

import pytest

from farshore.model.device_config import to_json
from tests.device.conftest import SIZE, MakeDevice
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.requires import requires_fuse, requires_root

pytestmark = [requires_fuse(), requires_root()]
HALF = SIZE // 2


@pytest.mark.parametrize("way", ["file", "loop"])
def test_a_device_that_is_written_to_grows(
    engine: Engine, sites: Sites, attach: MakeDevice, way: str
) -> None:
    """The export is the larger one all the while; the device was told the smaller size."""
    device = attach(engine, way=way, size=HALF)
    path = device.start()
    file = os.open(path, os.O_RDWR)
    ended = threading.Event()

    def write() -> None:
        at = 0
        while not ended.is_set():
            os.pwrite(file, b"w" * 4096, at % HALF)
            at += 4096

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        assert os.lseek(file, 0, os.SEEK_END) == HALF
        device.change(size=SIZE)
        (device.directory / "device.json").write_text(json.dumps(to_json(device.config)))
        for _ in range(2):  # told again, it has nothing to do
            assert device.ask("reload") == {}
        assert device.status()["size"] == SIZE
        assert os.lseek(file, 0, os.SEEK_END) == SIZE
        os.pwrite(file, b"end!" * 1024, SIZE - 4096)
    finally:
        ended.set()
        writer.join(20)
        os.fsync(file)
        os.close(file)
    assert sites.image("a", "data").read_bytes()[-4096:] == b"end!" * 1024
    device.change(size=HALF)
    (device.directory / "device.json").write_text(json.dumps(to_json(device.config)))
    assert device.ask("reload") == {}
    assert device.status()["size"] == SIZE, "nothing becomes smaller"
    assert device.detach() == 0
