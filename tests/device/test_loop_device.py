"""Loop devices whose file's mount was taken off: each is found by the path that it was made on, no other."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.device import loop_device
from farshore.store.mounts import loop_devices
from tests.interop.programs import run
from tests.requires import requires_root
from tests.waiting import wait_until

pytestmark = [
    requires_root(),
    pytest.mark.skipif(not loop_device.permitted(), reason="needs loop devices (/dev/loop-control)"),
]


@pytest.fixture
def out_of_sight() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def _made(place: Path, devices: contextlib.ExitStack) -> tuple[str, str]:
    """A file whose mount is gone, and the loop device that stands on it."""
    place.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "-o", "size=4m", "farshore-test", place)
    try:
        file = place / "data"
        file.write_bytes(bytes(1 << 20))
        device = loop_device.make(str(file), read_only=False)
        devices.callback(loop_device.free_when_unused, device)
    finally:
        run("umount", "-l", place)
    assert not file.exists()
    return str(file), device


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "2"), ("s" * 63 + "/1", "s" * 63 + "/2"), ("1" + "s" * 63, "2" + "s" * 63)],
    ids=["short paths", "paths that begin alike", "paths that end alike"],
)
def test_two_devices_whose_volumes_have_one_name_are_told_apart(
    one: str, other: str, socket_directory: Path, out_of_sight: contextlib.ExitStack
) -> None:
    first, device = _made(socket_directory / one, out_of_sight)
    second, another = _made(socket_directory / other, out_of_sight)
    assert device != another
    assert loop_device.once_on(first) == [device]
    assert loop_device.once_on(second) == [another]
    loop_device.free(device)
    wait_until(lambda: device.removeprefix("/dev/") not in loop_devices(), what="it to be taken off")
    assert loop_device.once_on(first) == []
    assert loop_device.once_on(second) == [another]
