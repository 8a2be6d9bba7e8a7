"""Rule C3: what a failed sync may have lost is believed by no start, that of the repair or a later one."""

import errno

import pytest

from farshore.core import actions as a
from farshore.core.record_actions import ForgetBeyond
from farshore.model.options import Apply, LinkOptions, Mode
from tests.unit.core.pair import KIB, Pair
from tests.unit.core.scenes import running


def lost_a_sync(options: LinkOptions) -> Pair:
    """A secondary whose failed sync has lost an acknowledged write."""
    pair = running(options)
    far = pair.far
    far.hold.add(a.SyncVolumes)
    (token,) = pair.write(0, fill=b"N")
    pair.turn(15)
    assert pair.answered(token)
    far.errors[a.SyncVolumes] = [errno.EIO]
    far.let_all()
    pair.turn(2)
    assert far.header.fault
    far.disk.lose_cache()
    return pair


def start_far(pair: Pair, failing: type | None = None) -> None:
    """A process of the far copy, with no feeder in reach; one kind of action may fail once."""
    far = pair.far
    far.forget()
    far.start("boot-1")
    if failing is not None:
        far.errors[failing] = [errno.EIO]
    far.core.clock(*pair.clock("far"))
    far.run(far.core.start())
    pair.turn(2)


@pytest.mark.parametrize("starts", [1, 2, 3])
def test_no_start_in_the_same_boot_takes_it_for_applied(starts: int) -> None:
    pair = lost_a_sync(LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT))
    certain = pair.far.durable.sequence if pair.far.durable else 0
    pair.cut()
    pair.kill_near()
    for _ in range(starts):
        start_far(pair)
        assert pair.far.core.applied <= certain


def test_nor_does_one_behind_a_clean_stop() -> None:
    pair = lost_a_sync(LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT))
    far = pair.far
    pair.cut()
    pair.kill_near()
    start_far(pair)
    certain = far.core.applied
    far.run(far.core.stop())
    pair.until(lambda: far.core.stopped)
    assert far.header.clean
    start_far(pair)
    assert far.core.applied == certain


def test_a_start_that_cannot_make_it_forgotten_is_a_fault() -> None:
    pair = lost_a_sync(LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT))
    pair.cut()
    start_far(pair, failing=ForgetBeyond)
    assert pair.far.header.fault
    assert not pair.far.core.started


@pytest.mark.parametrize("starts", [1, 2])
def test_a_feeder_with_a_disk_queue_does_not_go_on_behind_it(starts: int) -> None:
    pair = lost_a_sync(LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT, queue_disk=64 * KIB))
    pair.checked = False
    pair.cut()
    pair.turn(2)
    for _ in range(starts):
        start_far(pair)
    pair.mend()
    pair.turn(500)
    assert pair.feeder.replicating
    assert pair.equal()
