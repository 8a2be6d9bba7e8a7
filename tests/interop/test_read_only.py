"""Read-only exports: other people's programs see that they are, read on, and cannot change a byte."""

import os
from pathlib import Path

import pytest

from farshore.demo.nbd_client import NbdClient, NbdError
from farshore.wire.nbd import constants as nbd
from tests.interop.conftest import Pair
from tests.interop.programs import run, run_json
from tests.requires import requires

pytestmark = requires("qemu-io", "qemu-img", "nbdinfo", "nbdcopy")

_BLOCK = 64 << 10


@pytest.fixture
def read_only(pair: Pair) -> str:
    """The same volume, for reading."""
    with pair.cluster.a.client(pair.group) as client:
        client.write(0, b"k" * _BLOCK)
        client.flush()
    return str(pair.cluster.a.done("export", f"{pair.group}/data", "--read-only")).strip()


def test_nbdinfo_sees_a_volume_that_can_only_be_read(read_only: str) -> None:
    (export,) = run_json("nbdinfo", "--json", "--no-content", read_only)["exports"]
    promised = {"is_read_only": True, "can_trim": False, "can_zero": False, "can_multi_conn": True}
    assert {key: export[key] for key in promised} == promised


def test_qemu_opens_it_only_for_reading(pair: Pair, read_only: str) -> None:
    said = run("qemu-io", "-r", "-f", "raw", "-c", f"read -P 0x6b 0 {_BLOCK}", read_only)
    assert "failed" not in said
    with pytest.raises(AssertionError, match="Permission denied"):
        run("qemu-io", "-f", "raw", "-c", "write -P 1 0 512", read_only)
    pair.equal()


def test_nbdcopy_does_not_copy_into_it(read_only: str, tmp_path: Path, pair: Pair) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(pair.size))
    with pytest.raises(AssertionError):
        run("nbdcopy", image, read_only)
    run("nbdcopy", read_only, tmp_path / "back")
    assert (tmp_path / "back").read_bytes()[:_BLOCK] == b"k" * _BLOCK


@pytest.mark.parametrize(
    ("command", "length", "payload"),
    [
        (nbd.NBD_CMD_WRITE, 4096, 4096),
        (nbd.NBD_CMD_WRITE, 1 << 20, 1 << 20),
        (nbd.NBD_CMD_TRIM, 4096, 0),
        (nbd.NBD_CMD_WRITE_ZEROES, 4096, 0),
    ],
    ids=["write", "large-write", "trim", "zeroes"],
)
def test_a_client_that_writes_all_the_same_is_refused_each_time_and_stays_connected(
    command: int, length: int, payload: int, read_only: str, pair: Pair
) -> None:
    client = NbdClient(read_only)
    try:
        for _ in range(3):
            client._send(command, 0, length, 0, b"x" * payload)
            with pytest.raises(NbdError) as refused:
                client._answer()
            assert refused.value.errno == nbd.NBD_EPERM
        client.flush()
        assert client.read(0, _BLOCK) == b"k" * _BLOCK
        assert client.flags & nbd.NBD_FLAG_READ_ONLY
    finally:
        client.close()
    pair.equal()
