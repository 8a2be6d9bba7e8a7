"""Layers that lack something which was overwritten: what a header has to say of them at a start (rule E2)."""

from __future__ import annotations

from dataclasses import replace

from farshore.core.preserve import PreserveImage
from farshore.model.header import Header
from farshore.model.layers import EVERY_LAYER


def marked(header: Header, image: PreserveImage | None) -> Header:
    """The header, with what it has to say of broken layers before anything is overwritten or begun. A store
    that could not be opened and now can has nothing that began since; marks of layers that are gone go."""
    marks = header.broken_layers
    if image is None:
        return header
    if image.unusable:
        marks = (*(each for each in marks if each != EVERY_LAYER), EVERY_LAYER)
    else:
        marks = tuple([each.id for each in image.layers if each.id in marks or EVERY_LAYER in marks])
    return replace(header, broken_layers=marks)
