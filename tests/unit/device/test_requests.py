"""What is sent again after an engine has gone, and why no order of events loses or revives a write."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.device.requests import Request, RequestTable
from farshore.wire.nbd import constants as nbd

_BYTES = 64


def _write(unique: int, offset: int, length: int) -> Request:
    return Request(unique, nbd.NBD_CMD_WRITE, offset, length, bytes([unique % 251 + 1]) * length)


def _read(unique: int, offset: int, length: int) -> Request:
    return Request(unique, nbd.NBD_CMD_READ, offset, length)


def _flush(unique: int) -> Request:
    return Request(unique, nbd.NBD_CMD_FLUSH, 0, 0)


def test_requests_that_do_not_meet_fly_together_and_are_sent_again_in_their_order() -> None:
    table = RequestTable()
    sent = [_write(2, 0, 4), _read(4, 0, 8), _write(6, 4, 4), _flush(8), _read(10, 2, 2)]
    assert [table.take(each) for each in sent] == [True] * 5
    assert table.answered(6) == []
    assert list(table.flying.values()) == [sent[0], sent[1], sent[3], sent[4]]


def test_a_reply_that_was_lost_means_that_the_same_bytes_are_sent_again() -> None:
    table = RequestTable()
    table.take(_write(2, 8, 3))
    (again,) = table.flying.values()  # the engine had carried it out and died
    assert (again.unique, again.offset, again.length, again.payload) == (2, 8, 3, b"\3\3\3")
    assert table.answered(2) == []
    assert len(table) == 0


def test_a_newer_write_of_the_same_bytes_waits_for_the_older_one() -> None:
    table = RequestTable()
    older, newer = _write(2, 0, 8), _write(4, 7, 4)
    assert table.take(older)
    assert not table.take(newer)
    assert list(table.flying.values()) == [older]  # all that a new engine is sent
    assert table.answered(2) == [newer]
    assert list(table.flying.values()) == [newer]


@pytest.mark.parametrize("command", [nbd.NBD_CMD_TRIM, nbd.NBD_CMD_WRITE_ZEROES])
def test_zeroes_wait_like_writes(command: int) -> None:
    table = RequestTable()
    table.take(_write(2, 0, 8))
    zeroes = Request(4, command, 0, 1 << 30)
    assert not table.take(zeroes)
    assert not table.take(_write(6, 100, 8))  # behind the zeroes, or these would undo it
    assert [each.unique for each in table.answered(2)] == [4]
    assert [each.unique for each in table.answered(4)] == [6]


def test_reads_and_flushes_never_wait() -> None:
    table = RequestTable()
    table.take(_write(2, 0, 8))
    table.take(_write(4, 0, 8))
    assert table.take(_read(6, 0, 8))
    assert table.take(_flush(8))
    assert len(table) == 4


def test_what_waited_is_let_go_only_as_far_as_nothing_before_it_stands_in_the_way() -> None:
    table = RequestTable()
    table.take(_write(2, 0, 4))
    table.take(_write(4, 8, 4))
    assert not table.take(_write(6, 0, 12))
    assert not table.take(_write(8, 10, 4))
    assert not table.take(_write(10, 2, 1))
    assert table.answered(2) == []  # the one with number 6 still waits for number 4
    assert [each.unique for each in table.answered(4)] == [6]
    assert [each.unique for each in table.answered(6)] == [8, 10]


def test_only_what_is_under_way_may_be_answered_with_data() -> None:
    table = RequestTable()
    table.take(_read(2, 0, 8))
    table.take(_write(4, 0, 8))
    table.take(_write(6, 0, 8))
    assert [table.data_of(unique) for unique in (2, 4, 6, 8)] == [8, 0, None, None]


def test_giving_up_leaves_nothing() -> None:
    table = RequestTable()
    for request in (_write(2, 0, 8), _read(4, 0, 8), _write(6, 0, 8)):
        table.take(request)
    assert [each.unique for each in table.give_up()] == [2, 4, 6]
    assert len(table) == 0
    assert table.take(_write(8, 0, 8))


def _overlap(a: Request, b: Request) -> bool:
    return a.offset < b.end and b.offset < a.end


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32))
def test_the_volume_is_as_if_every_write_had_happened_once_in_the_order_they_came(seed: int) -> None:
    """Engines that carry requests out in any order, answer some, and die at any moment; the next one finds
    what the last one did (the page cache outlives it) and is sent what has no answer."""
    chosen = random.Random(seed)
    table, image, expected = RequestTable(), bytearray(_BYTES), bytearray(_BYTES)
    at_engine: list[Request] = []
    number, unanswered = 0, 60
    while unanswered or len(table):
        step = chosen.random()
        if unanswered and step < 0.4:
            unanswered -= 1
            number += 2
            offset = chosen.randrange(_BYTES)
            request = _write(number, offset, chosen.randrange(1, min(24, _BYTES - offset) + 1))
            expected[request.offset : request.end] = request.payload or b""
            if table.take(request):
                at_engine.append(request)
        elif step < 0.9 and at_engine:
            request = at_engine.pop(chosen.randrange(len(at_engine)))
            image[request.offset : request.end] = request.payload or b""
            if chosen.random() < 0.8:
                at_engine += table.answered(request.unique)
        elif step >= 0.9 or not at_engine:  # it dies; what it had not done is forgotten with it
            at_engine = list(table.flying.values())
        flying = list(table.flying.values())
        assert not any(_overlap(a, b) for at, a in enumerate(flying) for b in flying[:at])
    assert image == expected
