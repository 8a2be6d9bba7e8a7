"""Metadata contexts: listed by name and namespace, selected by name, for one export, by the last query."""

from __future__ import annotations

import pytest

from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.negotiation import Negotiation
from tests.unit.wire.nbd.client import (
    DATA,
    Exports,
    begun,
    context_data,
    info_data,
    only_error,
    option,
    ready,
    replies,
    text,
)


def listed(negotiation: Negotiation, *queries: str, number: int = nbd.NBD_OPT_LIST_META_CONTEXT) -> list[str]:
    *contexts, last = replies(negotiation.feed(option(number, context_data("data", *queries))))
    assert last == (number, nbd.NBD_REP_ACK, b"")
    assert all(kind == nbd.NBD_REP_META_CONTEXT for _, kind, _ in contexts)
    return [payload[4:].decode() for _, _, payload in contexts]


@pytest.mark.parametrize(
    ("queries", "names"),
    [
        ((), ["base:allocation", "x-farshore:dirty-b", "x-farshore:dirty-c"]),
        (("base:",), ["base:allocation"]),
        (("x-farshore:",), ["x-farshore:dirty-b", "x-farshore:dirty-c"]),
        (("x-farshore:dirty-c",), ["x-farshore:dirty-c"]),
        (("x-farshore:dirty-",), []),
        (("x-farshore:dirty-c", "base:", "x-farshore:dirty-c"), ["base:allocation", "x-farshore:dirty-c"]),
        (("qemu:dirty-bitmap:b", "base", "", "base:other"), []),
    ],
)
def test_contexts_are_listed_by_name_and_by_namespace(queries: tuple[str, ...], names: list[str]) -> None:
    assert listed(begun(structured=True), *queries) == names


def test_listing_contexts_uses_the_reserved_id_and_selects_nothing() -> None:
    negotiation = begun(structured=True)
    sent = negotiation.feed(option(nbd.NBD_OPT_LIST_META_CONTEXT, context_data("log")))
    assert sent == bytes.fromhex(
        "0003e889045565a9 00000009 00000004 00000013 00000000 626173653a616c6c6f636174696f6e"
        "0003e889045565a9 00000009 00000001 00000000"
    )
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("log")))
    assert ready(negotiation).contexts == ()


def test_contexts_are_selected_by_full_name_and_wildcards_select_nothing() -> None:
    negotiation = begun(structured=True)
    set_context = nbd.NBD_OPT_SET_META_CONTEXT
    assert listed(negotiation, "base:", "x-farshore:", number=set_context) == []
    assert listed(negotiation, number=set_context) == []
    sent = negotiation.feed(
        option(set_context, context_data("data", "x-farshore:dirty-c", "base:allocation"))
    )
    assert sent == bytes.fromhex(
        "0003e889045565a9 0000000a 00000004 00000013 00000001 626173653a616c6c6f636174696f6e"
        "0003e889045565a9 0000000a 00000004 00000016 00000003 782d66617273686f72653a64697274792d63"
        "0003e889045565a9 0000000a 00000001 00000000"
    )
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("data")))
    assert ready(negotiation).contexts == ((1, "base:allocation"), (3, "x-farshore:dirty-c"))
    assert ready(negotiation).limits().block_status


def test_the_last_selection_replaces_the_ones_before() -> None:
    negotiation = begun(structured=True)
    for query in ("base:allocation", "x-farshore:dirty-b"):
        negotiation.feed(option(nbd.NBD_OPT_SET_META_CONTEXT, context_data("data", query)))
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("data")))
    assert ready(negotiation).contexts == ((2, "x-farshore:dirty-b"),)


@pytest.mark.parametrize("number", [nbd.NBD_OPT_GO, nbd.NBD_OPT_EXPORT_NAME])
def test_contexts_selected_for_one_export_do_not_hold_for_another(number: int) -> None:
    negotiation = begun(structured=True)
    negotiation.feed(option(nbd.NBD_OPT_SET_META_CONTEXT, context_data("data", "base:allocation")))
    negotiation.feed(option(number, info_data("log") if number == nbd.NBD_OPT_GO else b"log"))
    assert ready(negotiation).contexts == ()
    assert not ready(negotiation).limits().block_status


def test_contexts_selected_for_the_default_name_hold_for_the_export_it_stands_for() -> None:
    negotiation = begun(Exports((DATA,)), structured=True)
    negotiation.feed(option(nbd.NBD_OPT_SET_META_CONTEXT, context_data("", "base:allocation")))
    negotiation.feed(option(nbd.NBD_OPT_EXPORT_NAME, b"data"))
    assert ready(negotiation).contexts == ((1, "base:allocation"),)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (context_data("other", "base:allocation"), nbd.NBD_REP_ERR_UNKNOWN),
        (b"\0", nbd.NBD_REP_ERR_INVALID),
        (text("data") + b"\0\0\0\2" + text("base:allocation"), nbd.NBD_REP_ERR_INVALID),
        (text("data") + b"\xff\xff\xff\xff", nbd.NBD_REP_ERR_INVALID),
        (context_data("data", "base:allocation") + b"x", nbd.NBD_REP_ERR_INVALID),
        (context_data("data", "base:" + "x" * 4096), nbd.NBD_REP_ERR_INVALID),
        (bytes(nbd.MAX_OPTION + 1), nbd.NBD_REP_ERR_TOO_BIG),
    ],
)
def test_a_failed_selection_leaves_no_contexts(data: bytes, error: int) -> None:
    negotiation = begun(structured=True)
    negotiation.feed(option(nbd.NBD_OPT_SET_META_CONTEXT, context_data("data", "base:allocation")))
    assert only_error(negotiation.feed(option(nbd.NBD_OPT_SET_META_CONTEXT, data))) == error
    negotiation.feed(option(nbd.NBD_OPT_GO, info_data("data")))
    assert ready(negotiation).contexts == ()


@pytest.mark.parametrize("number", [nbd.NBD_OPT_LIST_META_CONTEXT, nbd.NBD_OPT_SET_META_CONTEXT])
def test_contexts_need_structured_replies(number: int) -> None:
    sent = begun().feed(option(number, context_data("data", "base:allocation")))
    assert only_error(sent) == nbd.NBD_REP_ERR_INVALID
