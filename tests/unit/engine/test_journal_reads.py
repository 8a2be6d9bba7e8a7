"""Reads in a journal on a real disk, and what is taken away from it while they are under way."""

from pathlib import Path

from farshore.engine.looking import Looking
from farshore.engine.rewind_look import Found
from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.model.volumes import FLUSH, WRITE
from farshore.store.segments import Entry
from tests.unit.engine.journal_bench import A, B, Bench, G, encoded, looked_at
from tests.unit.engine.turning import turn_until


def test_frames_come_as_they_were_with_what_they_change(bench: Bench) -> None:
    bench.read(1, A, 6)
    bench.turn_until_told(1)
    assert bench.told == [(1, [8], "")]
    (whole,) = bench.frames
    assert bytes(whole.data) == encoded(7)
    assert whole.operations == [(1, WRITE, 512 * 7, 512), (0, FLUSH, 0, 0)]


def test_every_link_has_its_own_place(bench: Bench) -> None:
    for ticket, (link, after) in enumerate([(A, 0), (B, 20), (A, 2), (B, 22), (b"", 38), (b"", 40)]):
        bench.read(ticket, link, after)
        bench.turn_until_told(ticket + 1)
    assert [last for _, last, _ in bench.told] == [[2], [22], [4], [24], [40], []]
    assert {why for _, _, why in bench.told} == {""}


def test_what_nobody_may_hear_of_yet_is_not_read(bench: Bench) -> None:
    bench.through = 10
    bench.read(1, A, 0, 1 << 20)
    bench.turn_until_told(1)
    assert bench.told == [(1, [2, 4, 6, 8, 10], "")]


def test_what_takes_segments_away_waits_for_reads_and_later_reads_wait_for_it(bench: Bench) -> None:
    bench.segments.gate.clear()
    bench.read(1, A, 0)
    bench.read(2, B, 0)
    began: list[str] = []

    def trim() -> None:
        began.append("trim")
        bench.segments.trim(Position(G, 20))
        bench.reads.released()

    bench.reads.alone(trim)
    bench.reads.alone(lambda: began.append("begin"))
    bench.read(3, A, 30)
    bench.reactor.turn(0)
    assert began == []
    bench.segments.gate.set()
    bench.turn_until_told(2)
    assert sorted(bench.told) == [(1, [2], ""), (2, [2], "")]
    assert began == ["trim", "begin"]
    bench.segments.clear(Position(G, 40))
    assert len(bench.told) == 2
    bench.reads.released()
    bench.turn_until_told(3)
    assert bench.told[2] == (3, [], "")


def looking(bench: Bench, told: list[object]) -> Looking:
    """At where a rewind to `noon` would lead."""
    look = Looking(looked_at(bench), "noon", 0.0, told.append)
    look.most = 1
    return look


def test_a_look_at_a_rewind_lets_others_in_between_its_slices(bench: Bench) -> None:
    bench.segments.gate.clear()
    order: list[object] = []
    looking(bench, order).slice()

    def trim() -> None:
        order.append("trim")
        bench.segments.gate.clear()
        bench.reads.released()

    bench.reads.alone(trim)
    bench.read(1, A, 20)
    bench.segments.gate.set()
    turn_until(bench.reactor, lambda: bool(order))
    assert order == ["trim"], "it waited for one slice, and not for the whole look"
    bench.segments.gate.set()
    turn_until(bench.reactor, lambda: len(order) == 2 and bool(bench.told))
    assert bench.told == [(1, [22], "")]
    found = order[1]
    assert isinstance(found, Found)
    assert (found.position, found.undone) == (Position(G, 0), 20 * 512)


def test_a_look_does_not_take_what_is_left_of_a_journal_for_all_of_it(bench: Bench) -> None:
    bench.segments.gate.clear()
    told: list[object] = []
    looking(bench, told).slice()
    bench.begin_anew()
    turn_until(bench.reactor, lambda: bool(told))
    (refused,) = told
    assert isinstance(refused, FarshoreError)
    assert (refused.code.name, "has gone" in refused.what) == ("not-rewindable", True)


def test_a_look_has_its_end_however_much_comes_meanwhile(bench: Bench) -> None:
    told: list[object] = []
    look = looking(bench, told)
    look.slice()
    entries: list[Entry] = [(Position(G, last), encoded(last - 1)) for last in range(42, 81, 2)]
    bench.segments.append(entries, Position(G, 40))
    turn_until(bench.reactor, lambda: bool(told))
    (found,) = told
    assert isinstance(found, Found)
    assert found.undone == 20 * 512


def test_a_frame_that_is_not_whole_any_more_is_a_reason(bench: Bench) -> None:
    first = min(Path(bench.segments.directory).glob("*.seg"))
    content = bytearray(first.read_bytes())
    content[700:720] = b"decayed, decayed, de"
    first.write_bytes(content)
    bench.read(1, A, 0)
    bench.turn_until_told(1)
    ((ticket, found, why),) = bench.told
    assert (ticket, found) == (1, [])
    assert "not whole" in why


def test_a_link_that_is_gone_begins_anew(bench: Bench) -> None:
    bench.read(1, A, 0)
    bench.turn_until_told(1)
    bench.reads.forget(A)
    bench.reads.forget(B)
    bench.read(2, A, 2)
    bench.turn_until_told(2)
    assert bench.told[1] == (2, [4], "")
