"""A snapshot has the sizes that the volumes had at its cut, however early a copy hears of larger ones (H)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.stream_sizes import StreamSizes
from farshore.model.options import LinkOptions
from tests.unit.core.pair import ASYNC, SYNC, Pair
from tests.unit.core.scenes import running
from tests.unit.core.snapshot_scenes import JOURNAL, cut, settle
from tests.unit.core.test_growing import NEW, OLD, resize, room, sizes


@pytest.mark.parametrize("link", [SYNC, JOURNAL])
@pytest.mark.parametrize("held", [a.SyncVolumes, a.WriteDurable, a.BeginLayer])
def test_h_a_snapshot_has_the_sizes_of_its_cut_whatever_comes_behind_it(
    link: LinkOptions, held: type[a.Action]
) -> None:
    pair = running(link)
    room(pair.far)
    room(pair.near)
    cut(pair, "before")  # from then on frames that come are looked at before their turn
    pair.write(0, fill=b"1")
    settle(pair)
    pair.far.hold.add(held)
    cut(pair)
    resize(pair)
    pair.write(NEW - 512, 0, fill=b"2")
    pair.turn(20)
    assert sizes(pair) == (NEW, NEW), "it is known by then"
    pair.far.let_all()
    pair.turn(60)
    cut(pair, "later")
    settle(pair)
    taken = [(each.name, each.sizes) for each in pair.far.core.preserve.layers]
    assert taken == [("before", ((1, OLD),)), ("noon", ((1, OLD),)), ("later", ((1, NEW),))]


def queuing() -> Pair:
    """The line is cut, and a queue on disk takes a write and a snapshot's cut."""
    pair = running(replace(ASYNC, queue_disk=4 << 20))
    room(pair.far)
    room(pair.near)
    pair.cut()
    pair.write(0)
    cut(pair)
    return pair


def test_h_what_a_greeting_tells_of_is_not_yet_so_where_a_queue_is_drained() -> None:
    pair = queuing()
    resize(pair)
    pair.write(NEW - 512)
    cut(pair, "later")
    pair.turn(20)
    pair.mend()
    pair.replicating()
    settle(pair)
    taken = [(each.name, each.sizes) for each in pair.far.core.preserve.layers]
    assert taken == [("noon", ((1, OLD),)), ("later", ((1, NEW),))]


def test_h_a_resync_brings_all_sizes_with_it() -> None:
    pair = running(JOURNAL)
    room(pair.far)
    room(pair.near)
    pair.cut()
    resize(pair)
    pair.write(0)
    pair.turn(20)
    pair.mend()
    pair.replicating()
    cut(pair)
    settle(pair)
    assert [each.sizes for each in pair.far.core.preserve.layers] == [((1, NEW),)]


def stop_before_the_record(pair: Pair) -> None:
    """The primary goes down when its header has the new size, and no record of it was issued."""
    pair.near.hold.add(a.WriteHeader)
    resize(pair)
    pair.near.run(pair.near.core.stop())
    pair.near.let_all()
    pair.near.hold.clear()
    pair.turn(60)
    if not pair.near.header.clean:
        pair.stop_near()
    pair.start_near("boot-1")


def takes_what_lies_behind(pair: Pair) -> None:
    """A snapshot from now on has the new size, and keeps what is overwritten there."""
    pair.write(NEW - 512, fill=b"2")
    settle(pair)
    cut(pair, "later")
    settle(pair)
    pair.write(NEW - 512, fill=b"3")
    settle(pair)
    (layer,) = [each for each in pair.far.core.preserve.layers if each.name == "later"]
    assert layer.sizes == ((1, NEW),)
    pair.far.store.check()


def a_size_without_a_record(link: LinkOptions) -> None:
    pair = running(link)
    room(pair.far)
    room(pair.near)
    pair.write(0, fill=b"1")
    pair.turn(40)
    stop_before_the_record(pair)
    pair.replicating()
    takes_what_lies_behind(pair)


@pytest.mark.parametrize("link", [SYNC, JOURNAL])
def test_h_a_size_whose_record_never_comes_is_so_when_the_copy_is_where_its_feeder_was(
    link: LinkOptions,
) -> None:
    a_size_without_a_record(link)


def test_h_the_same_where_a_queue_is_drained_first() -> None:
    pair = queuing()
    pair.turn(20)
    stop_before_the_record(pair)
    pair.write(0)
    pair.turn(20)
    pair.mend()
    pair.replicating()
    takes_what_lies_behind(pair)
    assert not pair.far.noted("resync-complete")[1:], "it was drained"


def test_h_a_size_that_waits_for_its_record_for_ever_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamSizes, "greeted", lambda self, sizes, reached: None)
    with pytest.raises(AssertionError):
        a_size_without_a_record(SYNC)


def test_h_a_layer_of_a_later_size_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamSizes, "heard", lambda self, volume: None)
    with pytest.raises(AssertionError):
        test_h_what_a_greeting_tells_of_is_not_yet_so_where_a_queue_is_drained()
