"""QEMU's block layer on a replicated volume: patterns, FUA, flush, discard and zeroes, and its comparison."""

from tests.interop.conftest import Pair
from tests.interop.programs import run
from tests.requires import requires

pytestmark = requires("qemu-io", "qemu-img")


def _qemu_io(pair: Pair, *commands: str) -> None:
    """One connection. qemu-io exits with 1 if any command fails, a read of another pattern included."""
    words = [word for each in commands for word in ("-c", each)]
    said = run("qemu-io", "-f", "raw", *words, pair.uri)
    assert "failed" not in said, said


def test_patterns_read_back_and_stand_at_the_other_site(pair: Pair) -> None:
    _qemu_io(
        pair,
        "write -P 0x41 0 1M",
        "write -P 0x42 4095 8194",  # aligned to nothing
        "write -f -P 0x43 2M 64k",  # FUA
        "flush",
        "read -P 0x41 0 4095",
        "read -P 0x42 4095 8194",
        "read -P 0x41 16k 500k",
        "read -P 0x43 2M 64k",
    )
    pair.equal()
    copied = pair.copy.read_bytes()
    assert copied[4094:4097] == b"ABB"
    assert copied[2 << 20 : (2 << 20) + (64 << 10)] == b"C" * (64 << 10)


def test_zeroes_and_discards_reach_the_copy(pair: Pair) -> None:
    _qemu_io(
        pair,
        "write -P 0x44 8M 4M",
        "write -z 8M 1M",
        "write -z -u 9M 1M",  # may make a hole
        "discard 10M 1M",
        "write -z 11000000 777",
        "flush",
        "read -P 0 8M 3M",
        "read -P 0 11000000 777",
        "read -P 0x44 11600000 4096",
    )
    pair.equal()


def test_writes_in_flight_at_once_all_arrive(pair: Pair) -> None:
    writes = [f"aio_write -P {1 + number % 255} {number * 40}k 40k" for number in range(200)]
    _qemu_io(pair, *writes, "aio_flush", *(f"read -P {1 + n % 255} {n * 40}k 40k" for n in range(0, 200, 7)))
    pair.equal()


def test_qemu_img_finds_the_export_and_the_copy_identical(pair: Pair) -> None:
    _qemu_io(pair, "write -P 0x45 16M 3M", "flush")
    pair.equal()
    said = run("qemu-img", "compare", "-U", "-f", "raw", "-F", "raw", pair.uri, pair.copy)
    assert "identical" in said


def test_qemu_img_converts_out_of_a_replicated_volume(pair: Pair) -> None:
    _qemu_io(pair, "write -P 0x46 20M 3M", "flush")
    pair.equal()
    rescued = pair.cluster.directory / f"{pair.group}.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", pair.uri, rescued)
    said = run("qemu-img", "compare", "-U", "-f", "qcow2", "-F", "raw", rescued, pair.copy)
    assert "identical" in said
