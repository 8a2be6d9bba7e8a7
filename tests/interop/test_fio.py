"""fio writes over eight connections and verifies the checksum of each block that it reads back."""

import json

import pytest

from tests.interop.conftest import Pair
from tests.interop.programs import run
from tests.requires import requires

pytestmark = requires("fio")

_JOBS = 8


def _fio(pair: Pair, *words: str) -> None:
    """Eight jobs, each with a connection and a range of its own."""
    part = pair.size // _JOBS
    said = run(
        "fio",
        "--name=verify",
        "--ioengine=nbd",
        f"--uri={pair.uri}",
        f"--numjobs={_JOBS}",
        f"--size={part}",
        f"--offset_increment={part}",
        "--verify=crc32c",
        "--verify_state_save=0",
        "--do_verify=1",
        "--verify_fatal=1",
        "--iodepth=16",
        "--output-format=json",
        *words,
    )
    before, _, document = said.partition("{")
    assert before.count("connected to NBD server") >= _JOBS
    jobs = json.loads("{" + document)["jobs"]
    assert len(jobs) == _JOBS
    assert [each["error"] for each in jobs] == [0] * _JOBS
    for each in jobs:
        assert each["write"]["total_ios"] > 0
        assert each["read"]["total_ios"] >= each["write"]["total_ios"]  # the verification


@pytest.mark.parametrize(
    "load",
    [
        ("--rw=randwrite", "--bs=4k", "--io_size=1M"),
        ("--rw=write", "--bs=256k"),
        ("--rw=randwrite", "--bsrange=512-64k", "--bs_unaligned", "--fsync=16", "--io_size=1M"),
    ],
    ids=["4k-random", "256k-in-order", "any-size-with-flushes"],
)
def test_each_block_reads_back_and_the_copy_is_equal(pair: Pair, load: tuple[str, ...]) -> None:
    _fio(pair, *load)
    pair.equal()
