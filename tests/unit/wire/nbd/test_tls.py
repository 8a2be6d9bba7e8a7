"""STARTTLS: where TLS is wanted nothing happens before it, and nothing from before it counts afterwards."""

from __future__ import annotations

import pytest

from farshore.errors import IllegalEvent
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.negotiation import Negotiation
from farshore.wire.nbd.outcome import Securing
from tests.unit.wire.nbd.client import (
    DATA,
    FIXED,
    Exports,
    begun,
    closed,
    context_data,
    info_data,
    only_error,
    option,
    ready,
    replies,
)

START = option(nbd.NBD_OPT_STARTTLS)
ACK = [(nbd.NBD_OPT_STARTTLS, nbd.NBD_REP_ACK, b"")]


def wanting_tls() -> Negotiation:
    negotiation = Negotiation(Exports(), tls=True)
    assert negotiation.feed(FIXED) == b""
    return negotiation


def secured() -> Negotiation:
    negotiation = wanting_tls()
    assert replies(negotiation.feed(START)) == ACK
    negotiation.secured()
    return negotiation


@pytest.mark.parametrize("number", [3, 6, 7, 8, 9, 10, 11, 99])
def test_before_tls_every_option_is_answered_with_tls_required_and_tells_nothing(number: int) -> None:
    negotiation = wanting_tls()
    sent = negotiation.feed(option(number, info_data("data")))
    assert only_error(sent) == nbd.NBD_REP_ERR_TLS_REQD
    assert b"log" not in sent
    assert only_error(negotiation.feed(option(number, bytes(70_000)))) == nbd.NBD_REP_ERR_TLS_REQD
    assert replies(negotiation.feed(START)) == ACK  # and can still go on


def test_before_tls_an_export_name_ends_the_connection() -> None:
    negotiation = wanting_tls()
    assert negotiation.feed(option(nbd.NBD_OPT_EXPORT_NAME, b"data")) == b""
    assert "TLS" in closed(negotiation)


def test_before_tls_a_client_may_leave() -> None:
    negotiation = wanting_tls()
    assert replies(negotiation.feed(option(nbd.NBD_OPT_ABORT))) == [(2, nbd.NBD_REP_ACK, b"")]
    closed(negotiation)


def test_starttls_is_acknowledged_and_everything_begins_again_behind_it() -> None:
    negotiation = secured()
    sent = negotiation.feed(option(nbd.NBD_OPT_GO, info_data("data")))
    assert [kind for _, kind, _ in replies(sent)] == [nbd.NBD_REP_INFO, nbd.NBD_REP_ACK]
    assert ready(negotiation).export is DATA
    assert not ready(negotiation).structured


def test_metadata_contexts_need_structured_replies_that_were_negotiated_behind_tls() -> None:
    negotiation = secured()
    query = option(nbd.NBD_OPT_SET_META_CONTEXT, context_data("data", "base:allocation"))
    assert only_error(negotiation.feed(query)) == nbd.NBD_REP_ERR_INVALID


@pytest.mark.parametrize(
    "injected", [b"x", option(nbd.NBD_OPT_LIST), option(nbd.NBD_OPT_GO, info_data("data"))]
)
def test_bytes_behind_starttls_are_not_taken_for_the_clients_own(injected: bytes) -> None:
    negotiation = wanting_tls()
    assert negotiation.feed(START + injected) == b""
    assert "STARTTLS" in closed(negotiation)


def test_nothing_is_fed_while_hands_are_shaken() -> None:
    negotiation = wanting_tls()
    negotiation.feed(START)
    assert negotiation.outcome == Securing()
    with pytest.raises(IllegalEvent, match="Securing"):
        negotiation.feed(option(nbd.NBD_OPT_LIST))


def test_starttls_with_data_or_a_second_time_is_invalid() -> None:
    assert only_error(wanting_tls().feed(option(nbd.NBD_OPT_STARTTLS, b"x"))) == nbd.NBD_REP_ERR_INVALID
    negotiation = secured()
    assert only_error(negotiation.feed(START)) == nbd.NBD_REP_ERR_INVALID
    assert replies(negotiation.feed(option(nbd.NBD_OPT_LIST)))[-1][1] == nbd.NBD_REP_ACK


def test_secured_without_starttls_is_a_defect_of_the_caller() -> None:
    with pytest.raises(IllegalEvent):
        begun().secured()
    with pytest.raises(IllegalEvent):
        wanting_tls().secured()


def test_where_there_is_no_tls_it_is_not_supported_and_all_else_is() -> None:
    negotiation = begun()
    assert only_error(negotiation.feed(START)) == nbd.NBD_REP_ERR_UNSUP
    assert replies(negotiation.feed(option(nbd.NBD_OPT_LIST)))[-1][1] == nbd.NBD_REP_ACK
