"""Fences (rules D5, D6): what a primary remembers that was told of a newer one, and what primaries answer.

A primary may be greeted by a copy that takes itself for the primary: by the one that fed it before it was
promoted, which hears `promoted`, and by one that was promoted in its place and asks before its writes flow.
The second hears `fenced`, with the turn of which this copy has taken notice, once that is durable here: from
then on this copy takes no write before a turn of its own, in this process or any later one, so it has
answered as surely as a secondary has. To whom another turn is named, or none, that is no answer. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from farshore.model.header import Header, Successor
from farshore.model.messages import Hello, Refusal

FENCED: Final = "fenced"
PROMOTED: Final = "promoted"
_NOBODY: Final = "this copy is the primary, and knows of nobody who feeds it by that link"


def raised(header: Header, why: str, told: Successor | None) -> Header:
    """With a fence, for good. Of two promotions nobody here knows which one the group goes on with: then
    neither of them is answered."""
    same = not header.fenced or header.successor == told
    return replace(header, fenced=header.fenced or why, successor=told if same else None)


def answer_to_former(header: Header, hello: Hello) -> Refusal:
    """For whoever greets a primary as the feeder that it once had (rule D6)."""
    upstream = header.upstream
    if hello.group != header.group or upstream is None or upstream.link != hello.link:
        return Refusal("wrong-feeder", "this copy is the primary, and never followed that link")
    if upstream.copy not in (None, hello.copy):
        return Refusal("wrong-feeder", "this copy is the primary, and followed another copy")
    return Refusal(PROMOTED, "the copy at the peer has become the primary of the group", header.turn)


def answer_to_successor(durable: Header, hello: Hello) -> Refusal:
    """For whoever greets a primary by a link that it does not know, and has the key of the node that has told
    it of a promotion (rule D5). `durable` is what the next process of this copy would find."""
    told = durable.successor
    record = None if told is None else durable.link(told.link)
    if told is None or record is None or not durable.fenced or hello.group != durable.group:
        return Refusal("wrong-feeder", _NOBODY)
    if record.peer_copy != hello.copy or hello.peer_copy not in (None, durable.copy):
        return Refusal("wrong-feeder", _NOBODY)
    text = "the copy at the peer was the primary before; it takes no writes, and waits for a plan"
    return Refusal(FENCED, text, told.turn)
