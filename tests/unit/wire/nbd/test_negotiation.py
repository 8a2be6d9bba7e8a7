"""The handshake: golden bytes of every option, what a failed option leaves behind, and hostile input."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import IllegalEvent
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.negotiation import Negotiation
from farshore.wire.nbd.outcome import Closed, Ready
from tests.unit.wire.nbd.client import (
    DATA,
    FIXED,
    HANDLE,
    LOG,
    Exports,
    begun,
    closed,
    context_data,
    info_data,
    only_error,
    option,
    ready,
    replies,
    text,
)


def test_the_greeting_offers_fixed_newstyle_and_no_zeroes() -> None:
    assert Negotiation.greeting == bytes.fromhex("4e42444d41474943 49484156454f5054 0003")


def test_export_name_is_answered_with_size_and_flags_alone_when_zeroes_are_declined() -> None:
    negotiation = Negotiation(Exports())
    sent = negotiation.feed(bytes.fromhex("00000003 49484156454f5054 00000001 00000004 64617461"))
    assert sent == bytes.fromhex("0000000040000000 0d6d")  # no DF without structured replies
    outcome = ready(negotiation)
    assert outcome == Ready(DATA, structured=False, contexts=(), leftover=b"")
    assert outcome.export.handle is HANDLE


def test_export_name_pads_with_124_zeroes_for_a_client_that_wants_them() -> None:
    negotiation = Negotiation(Exports())
    sent = negotiation.feed(bytes.fromhex("00000001") + option(nbd.NBD_OPT_EXPORT_NAME, b"log"))
    assert sent == bytes.fromhex("0000000000001000 050f") + bytes(124)


def test_export_name_works_for_a_client_without_fixed_newstyle_and_nothing_else_does() -> None:
    plain = Negotiation(Exports())
    assert len(plain.feed(bytes(4) + option(nbd.NBD_OPT_EXPORT_NAME, b"log"))) == 134
    assert ready(plain).export is LOG
    asking = Negotiation(Exports())
    assert asking.feed(bytes(4) + option(nbd.NBD_OPT_LIST)) == b""
    assert "fixed newstyle" in closed(asking)


def test_the_empty_name_is_the_only_export() -> None:
    single = begun(Exports((DATA,)))
    assert len(single.feed(option(nbd.NBD_OPT_EXPORT_NAME))) == 10
    assert ready(single).export is DATA
    several = begun()
    assert several.feed(option(nbd.NBD_OPT_EXPORT_NAME)) == b""
    assert "no export" in closed(several)


@pytest.mark.parametrize("name", [b"other", b"\xff\xfe", b"a\0b", b"x" * 4097, b"x" * (nbd.MAX_OPTION + 1)])
def test_export_name_that_cannot_be_served_closes_because_it_has_no_error_reply(name: bytes) -> None:
    negotiation = begun()
    assert negotiation.feed(option(nbd.NBD_OPT_EXPORT_NAME, name)) == b""
    assert closed(negotiation)


def test_unknown_client_flags_close() -> None:
    negotiation = Negotiation(Exports())
    assert negotiation.feed(bytes.fromhex("00000007")) == b""
    assert "0x7" in closed(negotiation)


def test_a_wrong_option_magic_closes() -> None:
    negotiation = begun()
    assert negotiation.feed(b"IHAVEOPS" + bytes(8)) == b""
    assert "magic" in closed(negotiation)


def test_abort_is_acknowledged_and_its_data_ignored() -> None:
    for data in (b"", b"bye", bytes(nbd.MAX_OPTION + 1)):
        negotiation = begun()
        assert negotiation.feed(option(nbd.NBD_OPT_ABORT, data)) == bytes.fromhex(
            "0003e889045565a9 00000002 00000001 00000000"
        )
        assert "abort" in closed(negotiation)


def test_list_names_every_export_with_its_description() -> None:
    sent = begun().feed(option(nbd.NBD_OPT_LIST))
    assert sent == bytes.fromhex(
        "0003e889045565a9 00000003 00000002 0000000e 00000004 64617461 6f7264657273"
        "0003e889045565a9 00000003 00000002 00000007 00000003 6c6f67"
        "0003e889045565a9 00000003 00000001 00000000"
    )


def test_list_leaves_out_an_export_that_went_away_meanwhile() -> None:
    class Vanishing(Exports):
        def names(self) -> Sequence[str]:
            return ["gone", "log"]

    assert [kind for _, kind, _ in replies(begun(Vanishing()).feed(option(nbd.NBD_OPT_LIST)))] == [2, 1]


@pytest.mark.parametrize("number", [nbd.NBD_OPT_LIST, nbd.NBD_OPT_STRUCTURED_REPLY, nbd.NBD_OPT_STARTTLS])
def test_options_without_data_refuse_data(number: int) -> None:
    assert only_error(begun().feed(option(number, b"x"))) == nbd.NBD_REP_ERR_INVALID


@pytest.mark.parametrize("number", [0, 4, nbd.NBD_OPT_STARTTLS, nbd.NBD_OPT_EXTENDED_HEADERS, 12, 0xFFFFFFFF])
def test_options_that_are_not_spoken_are_unsupported_and_the_next_one_works(number: int) -> None:
    negotiation = begun()
    assert only_error(negotiation.feed(option(number))) == nbd.NBD_REP_ERR_UNSUP
    assert replies(negotiation.feed(option(nbd.NBD_OPT_GO, info_data("log"))))[-1][1] == nbd.NBD_REP_ACK


def test_go_answers_the_export_and_each_item_that_was_asked_for() -> None:
    negotiation = begun(structured=True)
    sent = negotiation.feed(option(nbd.NBD_OPT_GO, info_data("data", 3, 1, 2, 77)))
    assert sent == bytes.fromhex(
        "0003e889045565a9 00000007 00000003 0000000c 0000 0000000040000000 0ded"
        "0003e889045565a9 00000007 00000003 00000006 0001 64617461"
        "0003e889045565a9 00000007 00000003 00000008 0002 6f7264657273"
        "0003e889045565a9 00000007 00000003 0000000e 0003 00000001 00001000 02000000"
        "0003e889045565a9 00000007 00000001 00000000"
    )
    assert ready(negotiation) == Ready(DATA, structured=True, contexts=(), leftover=b"")


def test_go_answers_the_export_alone_when_nothing_is_asked_for() -> None:
    negotiation = begun()
    assert [(kind, data[:2]) for _, kind, data in replies(negotiation.feed(option(7, info_data("log"))))] == [
        (nbd.NBD_REP_INFO, b"\0\0"),
        (nbd.NBD_REP_ACK, b""),
    ]
    assert ready(negotiation).export is LOG


def test_info_answers_like_go_and_goes_on_negotiating() -> None:
    data = info_data("data", 1, 2, 3)
    asking, going = begun(), begun()
    informed = [(kind, payload) for _, kind, payload in replies(asking.feed(option(nbd.NBD_OPT_INFO, data)))]
    assert asking.outcome is None
    assert informed == [
        (kind, payload) for _, kind, payload in replies(going.feed(option(nbd.NBD_OPT_GO, data)))
    ]


def test_a_description_that_is_empty_is_left_out() -> None:
    sent = begun().feed(option(nbd.NBD_OPT_INFO, info_data("log", nbd.NBD_INFO_DESCRIPTION)))
    assert len(replies(sent)) == 2


@pytest.mark.parametrize("number", [nbd.NBD_OPT_INFO, nbd.NBD_OPT_GO])
def test_an_unknown_export_is_an_error_after_which_another_can_be_chosen(number: int) -> None:
    negotiation = begun(structured=True)
    negotiation.feed(option(nbd.NBD_OPT_SET_META_CONTEXT, context_data("data", "base:allocation")))
    assert only_error(negotiation.feed(option(number, info_data("other")))) == nbd.NBD_REP_ERR_UNKNOWN
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("data")))
    assert ready(negotiation) == Ready(DATA, True, ((1, "base:allocation"),), b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        text("data"),
        text("data") + b"\0",
        text("data") + b"\0\1",
        text("data") + b"\0\1\0",
        text("data") + b"\0\0x",
        b"\xff\xff\xff\xffdata\0\0",
        info_data(b"\xff"),
        info_data(b"da\0ta"),
        info_data("x" * 4097),
    ],
)
def test_malformed_data_of_go_is_invalid_and_the_next_option_works(data: bytes) -> None:
    negotiation = begun()
    assert only_error(negotiation.feed(option(nbd.NBD_OPT_GO, data))) == nbd.NBD_REP_ERR_INVALID
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("log")))
    assert ready(negotiation).export is LOG


def test_what_follows_the_last_option_belongs_to_the_transmission() -> None:
    negotiation = begun()
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("log")) + b"\x25\x60\x95\x13 and more")
    assert ready(negotiation).leftover == b"\x25\x60\x95\x13 and more"


def test_an_option_too_big_to_look_at_is_skipped_and_the_next_one_works() -> None:
    negotiation = begun()
    huge = option(nbd.NBD_OPT_GO, bytes(nbd.MAX_DRAINED_OPTION))
    for start in range(0, len(huge) - 4096, 4096):
        assert negotiation.feed(huge[start : start + 4096]) == b""
    last = huge[(len(huge) - 1) // 4096 * 4096 :]
    assert only_error(negotiation.feed(last)) == nbd.NBD_REP_ERR_TOO_BIG
    unknown = option(99, bytes(nbd.MAX_OPTION + 1))
    assert only_error(negotiation.feed(unknown)) == nbd.NBD_REP_ERR_UNSUP
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("log")))
    assert ready(negotiation).export is LOG


def test_an_option_too_big_to_skip_closes_before_its_data() -> None:
    negotiation = begun()
    assert negotiation.feed(b"IHAVEOPT" + struct.pack(">II", 7, nbd.MAX_DRAINED_OPTION + 1)) == b""
    assert "announces" in closed(negotiation)


def test_a_client_that_never_chooses_is_closed() -> None:
    negotiation = begun()
    negotiation.feed(option(nbd.NBD_OPT_STRUCTURED_REPLY) * nbd.MAX_OPTIONS)
    assert negotiation.outcome is None
    negotiation.feed(option(nbd.NBD_OPT_STRUCTURED_REPLY))
    assert "options" in closed(negotiation)


def test_nothing_can_be_fed_after_the_outcome() -> None:
    negotiation = begun()
    negotiation.feed(option(nbd.NBD_OPT_ABORT))
    with pytest.raises(IllegalEvent, match="Closed"):
        negotiation.feed(b"")


def test_the_limits_of_the_transmission_come_from_the_export() -> None:
    negotiation = begun(Exports((replace(LOG, min_block=512, max_block=1 << 20),)), structured=True)
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("log")))
    limits = ready(negotiation).limits()
    assert (limits.size, limits.read_only, limits.structured) == (4096, True, True)
    assert (limits.min_block, limits.max_payload, limits.block_status) == (512, 1 << 20, False)


names = st.sampled_from(["data", "log", "", "other"])
items = st.lists(st.integers(0, 5), max_size=3)
queries = st.lists(st.sampled_from(["base:", *DATA.contexts]), max_size=3)
options = st.one_of(
    st.builds(option, st.integers(2, 13), st.binary(max_size=40)),
    st.builds(option, st.sampled_from([3, 8])),
    st.builds(
        lambda n, name, asked: option(n, info_data(name, *asked)), st.sampled_from([6, 7]), names, items
    ),
    st.builds(
        lambda n, name, asked: option(n, context_data(name, *asked)), st.sampled_from([9, 10]), names, queries
    ),
)


def conversation(pieces: list[bytes]) -> tuple[bytes, object]:
    """Everything that was sent, and the outcome; what comes after the outcome counts as left over."""
    negotiation, sent, after = Negotiation(Exports()), b"", b""
    for piece in pieces:
        if negotiation.outcome is None:
            sent += negotiation.feed(piece)
        else:
            after += piece
    outcome = negotiation.outcome
    if isinstance(outcome, Ready):
        outcome = replace(outcome, leftover=outcome.leftover + after)
    return sent, outcome


@given(st.lists(options, max_size=6), st.binary(max_size=30), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_the_input_gives_the_same_answers(
    sent: list[bytes], tail: bytes, cuts: list[int]
) -> None:
    stream = FIXED + b"".join(sent) + tail
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[start:stop] for start, stop in pairwise(places)]
    assert conversation(pieces) == conversation([stream])
    assert conversation([stream[i : i + 1] for i in range(len(stream))]) == conversation([stream])


@given(st.integers(0, 0xFFFFFFFF), st.lists(st.one_of(options, st.binary(max_size=60)), max_size=6))
def test_garbage_is_answered_or_closed_and_raises_nothing(flags: int, parts: list[bytes]) -> None:
    sent, _ = conversation([struct.pack(">I", flags), *parts])
    assert isinstance(sent, bytes)


@given(st.lists(st.one_of(options, st.binary(max_size=60)), max_size=6))
def test_garbage_after_valid_flags_is_answered_or_closed(parts: list[bytes]) -> None:
    _, outcome = conversation([FIXED, *parts])
    assert outcome is None or isinstance(outcome, Ready | Closed)
