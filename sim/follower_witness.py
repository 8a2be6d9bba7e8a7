"""What a secondary of a run lets be seen; the oracle looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from farshore.core.actions import Action
from farshore.model.header import Header
from farshore.model.layers import Layer
from farshore.model.positions import Position

if TYPE_CHECKING:
    from sim.secondary_site import SecondarySite


class FollowerWitness:
    """Sees what a secondary does. Does nothing by itself."""

    def lost_cache(self, site: SecondarySite) -> None:
        """A sync had failed; the volumes show now what it left of them."""

    def resumed(self, site: SecondarySite) -> None:
        """A process has started; the core has said where it stands."""

    def carrying(self, site: SecondarySite, action: Action) -> None:
        """An action is about to be carried out."""

    def ticked(self, site: SecondarySite) -> None:
        """The core's timers have run."""

    def applying(self, site: SecondarySite, position: Position) -> None:
        """A frame is about to be applied."""

    def applied(self, site: SecondarySite, position: Position) -> None:
        """A frame was applied."""

    def apply_failed(self, site: SecondarySite, position: Position) -> None:
        """A frame was applied in part."""

    def passed(self, site: SecondarySite, cut: Position) -> None:
        """The core says that a cut has passed."""

    def snapshot_begins(self, site: SecondarySite, layer: Layer, images: Mapping[int, bytes]) -> None:
        """A layer begins over these volumes."""

    def said(self, site: SecondarySite, message: object) -> None:
        """A message to a feeder was queued."""

    def recorded(self, site: SecondarySite, header: Header) -> None:
        """A header has become durable."""

    def stopped(self, site: SecondarySite) -> None:
        """A process ends after a stop that it calls clean, or not."""
