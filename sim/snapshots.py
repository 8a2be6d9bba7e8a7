"""Which snapshots a secondary was asked for by cuts in its journal, and what became of them (section H).

Nothing behind such a cut may count as being in the volumes for good before the snapshot was taken, or noted
as missed: else it would stand for a later state, or for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import actions as a
from farshore.model.layers import LayerKind
from farshore.model.positions import Position
from sim.world import BrokenRule

if TYPE_CHECKING:
    from sim.secondary_site import SecondarySite


class Snapshots:
    """See the module."""

    def __init__(self, site: SecondarySite) -> None:
        self._site = site
        self._asked: dict[str, Position] = {}

    def journaled(self, name: str, cut: Position) -> None:
        """A cut that asks for a snapshot is in the journal."""
        self._asked[name] = cut

    def started(self) -> None:
        """A new process: what it finds in its journal, and does not have yet, is asked for still."""
        site = self._site
        left = {each.sequence for each in site.journal.replay.frames}
        known = {each.name for each in site.preserve.store.layers}
        self._asked = {
            name: cut for name, cut in self._asked.items() if cut.sequence in left and name not in known
        }

    def sees(self, action: a.Action) -> None:
        """An action is about to be carried out."""
        if isinstance(action, a.Note) and action.kind in ("layer", "snapshot-missed"):
            self._asked.pop(str(action.fields["name"]), None)
            if action.fields.get("layer") == LayerKind.SNAPSHOT.value:
                self._site.world.reach("snapshot taken")
            else:
                self._site.world.reach("snapshot missed")
        elif isinstance(action, a.WriteDurable):
            for name, cut in self._asked.items():
                if cut.generation == action.position.generation and cut < action.position:
                    raise BrokenRule(
                        "H", f"{self._site.name} passes the snapshot {name} and has not taken it"
                    )
