"""What a secondary lets its readers see, in each state that it can be in."""

from farshore.core import showing
from farshore.core.secondary import Secondary
from tests.unit.core.pair import SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT
from tests.unit.core.undo_scenes import apart, open_resync


def _shown(pair: Pair) -> bytes | None:
    core = pair.far.core
    assert isinstance(core, Secondary)
    assert bool(showing.why_not(core)) is (showing.shown(core) is None)
    return showing.shown(core)


def test_nothing_is_shown_of_a_first_copy_and_then_the_volumes() -> None:
    pair = Pair(Wish(links=(SYNC,), content=CONTENT))
    assert _shown(pair) is None
    pair.replicating()
    pair.turn(5)
    assert _shown(pair) == showing.LIVE


def test_e1_while_a_resync_is_open_its_undo_is_shown_and_then_the_volumes_again() -> None:
    pair = apart()
    assert _shown(pair) == showing.LIVE
    open_resync(pair, 3)
    undo = pair.far.core.keeper.header.undo
    assert undo
    assert _shown(pair) == undo
    pair.cut()
    pair.turn(5)
    assert _shown(pair) == undo
    pair.line.stops = lambda _: False
    pair.mend()
    pair.replicating()
    pair.turn(20)
    assert _shown(pair) == showing.LIVE


def test_e1_without_an_undo_nothing_is_shown_of_a_resync() -> None:
    pair = apart()
    open_resync(pair, 3)
    core = pair.far.core
    core.preserve.layers.clear()
    assert _shown(pair) is None
    assert "resync" in showing.why_not(core)


def test_c3_nothing_is_shown_of_a_copy_whose_disk_has_failed() -> None:
    pair = apart()
    pair.far.core.fail(5)
    assert _shown(pair) is None
    assert showing.why_not(pair.far.core) == pair.far.core.fault
