"""Layers that lack something which was overwritten: what a header has to say of them (rule E2).

A store that cannot be opened may have any. A primary says so with its start, as it takes writes from there
on; a secondary before the first write to its volumes, be it of a replay or of a session: until then the next
start may find the store again, and all that it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core.preserve import PreserveImage
from farshore.model.header import Header
from farshore.model.layers import EVERY_LAYER, Layer

if TYPE_CHECKING:
    from farshore.core.follower import Follower


def marked(header: Header, image: PreserveImage | None) -> Header:
    """The header, with what it has to say of broken layers before anything is overwritten or begun. A store
    that could not be opened and now can has nothing that began since; marks of layers that are gone go. While
    a resync has an undo nothing is overwritten without it: what cannot be opened then is not broken yet."""
    marks = header.broken_layers
    if image is None:
        return header
    if image.unusable and header.resync is not None and header.undo:
        return header
    if image.unusable:
        marks = (*(each for each in marks if each != EVERY_LAYER), EVERY_LAYER)
    else:
        marks = broken_in(header, image.layers)
    return replace(header, broken_layers=marks)


def found(header: Header, image: PreserveImage | None) -> Header:
    """The header with which a secondary begins: of a store that cannot be opened it says nothing new."""
    return header if image is not None and image.unusable else marked(header, image)


def overwriting(copy: Follower, header: Header) -> Header:
    """The header, with what it has to say durably before the volumes are written to for the first time since
    the start."""
    return (
        marked(header, PreserveImage(unusable=copy.preserve.unusable)) if copy.preserve.unusable else header
    )


def broken_in(header: Header, layers: Iterable[Layer]) -> tuple[bytes, ...]:
    """Which of these a start takes for broken."""
    return tuple([each.id for each in layers if header.broken(each.id)])
