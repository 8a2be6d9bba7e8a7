"""Rule E3: a copy goes back to exactly what it was before a resync, whatever is cut off on the way."""

from typing import Any

import pytest

from farshore.core import actions as a
from farshore.core import undoing
from farshore.core.preserve import Preserving
from farshore.core.relaying import Relay
from farshore.core.secondary import Secondary
from farshore.core.stream import Stream
from farshore.model import messages as m
from farshore.model.header import Header
from tests.unit.core.chain import Chain
from tests.unit.core.pair import ASYNC, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT
from tests.unit.core.undo_scenes import REGIONS, apart, broken, open_resync


@pytest.mark.parametrize("fills", range(1, 9))
@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
@pytest.mark.parametrize("link", [SYNC, ASYNC])
def test_e3_a_copy_goes_back_to_exactly_what_it_was(fills: int, boot: str, link: Any) -> None:
    pair = apart(wish=Wish(links=(link,), content=CONTENT))
    before, history = bytes(pair.far.disk.seen[1]), pair.far.core.history()
    open_resync(pair, fills)
    pair.write(3 * REGION, 9 * REGION)
    pair.turn(10)
    pair.kill_near()
    assert bytes(pair.far.disk.seen[1]) != before
    pair.restart_far(boot, roll_back=True)
    assert bytes(pair.far.disk.seen[1]) == before
    assert pair.far.core.history() == history
    assert pair.far.core.consistent
    assert pair.far.header.resync is None
    pair.turn(20)
    assert pair.far.store.layers == []
    pair.line.stops = lambda _: False
    pair.start_near("boot-1")
    pair.replicating()
    assert pair.equal()


@pytest.mark.parametrize("held", [a.WriteHeader, a.RollBack, a.DropLayer])
def test_e3_a_roll_back_that_is_cut_off_is_begun_again(held: type[a.Action]) -> None:
    pair = apart()
    before = bytes(pair.far.disk.seen[1])
    open_resync(pair, 4)
    pair.far.hold.clear()
    pair.cut()
    pair.restart_far("boot-2")
    pair.cut()
    for _ in range(2):
        pair.far.forget()
        pair.far.start("boot-2", roll_back=True)
        pair.far.hold.add(held)
        pair.far.run(pair.far.core.start())
    pair.restart_far("boot-2", roll_back=True)
    assert bytes(pair.far.disk.seen[1]) == before or pair.far.core.session is not None
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


# -- rules broken on purpose ------------------------------------------------------------------------


def _save_behind_the_overwrite(spare: Any) -> Any:
    def spare_at_once(self: Preserving, ranges: Any) -> bool:
        spare(self, ranges)
        return not self._beginning

    return spare_at_once


def _drop_the_undo_before_the_cut_is_durable(end: Any) -> Any:
    def drop_first(self: Stream, message: m.ResyncEnd) -> None:
        undoing.release(self._copy, self._copy.keeper.header.undo)
        end(self, message)

    return drop_first


def _cut_off_at_every_point(kind: type[a.Action]) -> None:
    """The end of a resync with one kind of action held, then a loss of power and the way back."""
    pair = apart()
    open_resync(pair, 3)
    pair.line.stops = lambda _: False
    pair.far.hold.add(kind)
    pair.turn(40)
    pair.cut(silent=True)
    before = pair.far.store.images.get(pair.far.header.undo)
    undo = pair.far.header.undo
    assert not undo or undo in pair.far.store.images, "the undo is gone and the header needs it"
    pair.restart_far("boot-2", roll_back=True)
    if undo:
        assert before is not None
        assert bytes(pair.far.disk.seen[1]) == before[1]
    pair.replicating()
    assert pair.equal()


HELD = (a.BeginLayer, a.SaveRegions, a.WriteHeader, a.WriteDurable, a.SyncVolumes, a.DropLayer)


@pytest.mark.parametrize("kind", HELD)
def test_whatever_is_under_way_when_the_power_fails_the_copy_can_go_back_or_is_whole(
    kind: type[a.Action],
) -> None:
    _cut_off_at_every_point(kind)


@pytest.mark.parametrize(
    ("owner", "name", "make"),
    [
        (Preserving, "spare", _save_behind_the_overwrite),
        (Stream, "_end", _drop_the_undo_before_the_cut_is_durable),
    ],
)
def test_the_order_of_saving_and_dropping_is_checked(owner: Any, name: str, make: Any) -> None:
    with broken(owner, name, make), pytest.raises(AssertionError):
        for kind in HELD:
            _cut_off_at_every_point(kind)


def _roll_back_and_keep_the_proof(pair: Pair) -> None:
    """The volumes go back, and the process dies before the header says so: the feeder comes back."""
    open_resync(pair, 4)
    pair.turn(30)
    pair.cut()
    pair.far.forget()
    pair.far.start("boot-1", roll_back=True)
    pair.far.run(pair.far.core.start())
    pair.far.forget()


def test_e3_nobody_takes_up_a_resync_that_is_being_taken_back() -> None:
    pair = apart()
    open_resync(pair, 4)
    pair.turn(30)
    pair.cut()
    pair.far.forget()
    proof = pair.far.header.resync
    assert proof is not None
    pair.far.start("boot-1", roll_back=True)
    pair.far.hold.add(a.RollBack)
    pair.far.run(pair.far.core.start())
    assert pair.far.header.resync is not None
    assert pair.far.header.resync.id != proof.id
    pair.far.let(a.RollBack)
    pair.far.forget()
    pair.restart_far("boot-1")
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


def _keep_the_proof(_: Any) -> Any:
    def roll_back(copy: Secondary) -> None:
        header: Header = copy.keeper.header
        head = header.history.head
        assert head is not None

        def restored(_: int) -> None:
            copy.keeper.put(header)

        copy.outbox.emit(a.RollBack(copy.outbox.ticket(restored), header.undo, head))

    return roll_back


def test_a_roll_back_that_leaves_the_proof_is_caught() -> None:
    pair = apart()
    with broken(undoing, "roll_back", _keep_the_proof):
        _roll_back_and_keep_the_proof(pair)
    pair.line.stops = lambda _: False
    with pytest.raises(AssertionError):
        pair.restart_far("boot-1")
        pair.replicating()
        assert pair.equal()


# -- a copy with links of its own -------------------------------------------------------------------


def _roll_the_middle_back() -> None:
    chain = Chain(ASYNC)
    chain.in_order()
    chain.cut_hop()
    chain.write(0, 5 * REGION)
    chain.turn(30)
    chain.cut()
    chain.write(2 * REGION, 5 * REGION, 7 * REGION)
    chain.turn(2)
    before = bytes(chain.middle.disk.seen[1])
    open_resync(chain, 1)
    chain.turn(20)
    chain.middle.hold.add(a.RollBack)
    chain.cut(silent=True)
    chain.middle.forget()
    chain.middle.start("boot-2", roll_back=True)
    chain.middle.hold.add(a.RollBack)
    chain.middle.run(chain.middle.core.start())
    pages = chain.middle.boards[chain.hop_id].pages
    marked = [pages["suspect", 1, 0][at // 8] >> at % 8 & 1 for at in range(REGIONS)]
    assert all(marked), "what is about to be restored is not marked for the hop"
    chain.middle.let_all()
    assert bytes(chain.middle.disk.seen[1]) == before
    chain.line.stops = lambda _: False
    chain.mend()
    chain.mend_hop()
    chain.in_order()


def test_e3_every_region_is_suspect_for_the_hops_before_anything_is_restored() -> None:
    _roll_the_middle_back()


def test_a_roll_back_that_marks_nothing_is_caught() -> None:
    def trust(restore: Any) -> Any:
        return lambda relay, _lost, then: restore(relay, False, then)

    with broken(Relay, "restore", trust), pytest.raises(AssertionError):
        _roll_the_middle_back()
