"""A chain whose last copy may be fed by the primary in place of the middle, by the same link (rule B8).

What the nodes would do is done here by hand: `near.links`, `middle.links` and `points_at` are their intent,
which outlives every process, and each process that is there is told of it. Rule A1 is checked on the
primary's link to the last copy as on any other of its links, also while it rests; on the hop while the last
copy follows it and the two have found out what the other feeder had left there.
"""

from dataclasses import replace

from farshore.core import actions as a
from farshore.core.feeder import Feeder
from farshore.model.header import Upstream
from farshore.model.options import LinkOptions, LinkSpec, ResyncKind
from tests.unit.core.chain import HOP, Chain
from tests.unit.core.line import End, Line
from tests.unit.core.queue_disk import QueueDisk


class Rerouted(Chain):
    """See the module. `direct` is the line from the primary to the last copy."""

    def __init__(self, upstream: LinkOptions, hop: LinkOptions = HOP) -> None:
        super().__init__(upstream, hop)
        self.direct = Line(replace(self.hop.spec, options=replace(hop, first=ResyncKind.DIGEST)))
        self.points_at = 1
        """The epoch under which the last copy follows its feeder."""
        self.lines[self.hop_id] = self.direct
        self.fars[self.hop_id] = self.last
        self.near.queues[self.hop_id] = QueueDisk()

    # -- what the nodes want ----------------------------------------------------------------

    @property
    def near_spec(self) -> LinkSpec | None:
        """Of the primary's link to the last copy, once it has had one."""
        return next((each for each in self.near.links if each.id == self.hop_id), None)

    def near_takes(self, epoch: int) -> None:
        """It is to feed the last copy."""
        known = self.near_spec
        fresh = replace(known or self.direct.spec, epoch=epoch, resting=False)
        self._tell_near(fresh, new=known is None)

    def near_rests(self, *, resting: bool = True) -> None:
        """It rests, or feeds as before."""
        if self.near_spec is not None:
            self._tell_near(replace(self.near_spec, resting=resting), new=False)

    def _tell_near(self, fresh: LinkSpec, *, new: bool) -> None:
        others = tuple(each for each in self.near.links if each.id != fresh.id)
        self.near.links = (*others, fresh)
        if self.alive:
            core = self.near.core
            self.near.run(core.add_link(fresh) if new else core.change_link(fresh))

    def middle_is_told(self, *, epoch: int, resting: bool) -> None:
        """It is to feed the last copy, or to rest."""
        self.hop.spec = replace(self.hop.spec, epoch=epoch, resting=resting)
        self.middle.links = (self.hop.spec,)
        self.middle.run(self.middle.core.relay.change_link(self.hop.spec))

    def point_last(self, epoch: int) -> None:
        """The last copy follows whoever feeds under that epoch."""
        self.points_at = epoch
        self.last.run(self.last.core.point_at(self.hop_id, epoch))

    @property
    def direct_feeder(self) -> Feeder | None:
        """Of the primary's link to the last copy."""
        return self.near.core.feeders.get(self.hop_id)

    # -- trouble ----------------------------------------------------------------------------

    def restart_last(self, boot: str) -> None:
        """The last copy's process dies (same boot) or its machine (another one), and starts again."""
        last, up = self.last, self.hop.up
        self.cut_hop()
        self.hop.up = up
        up = self.direct.up
        self.cut(self.hop_id)
        self.direct.up = up
        last.forget()
        if boot != last.boot:
            last.lose_power()
        last.start(boot, upstream=Upstream(self.hop_id, self.points_at))
        last.core.clock(self.now, self.now)
        last.run(last.core.start())

    # -- what the ends do -------------------------------------------------------------------

    def _from_last(self, action: a.Action) -> None:
        match action:
            case a.Send(channel=channel, message=message) if channel == self.direct.key:
                self.direct.to_near.append((channel, message))
                self.direct.heard.append(message)
            case a.Close(channel=channel) if channel == self.direct.key:
                self.direct.to_near.append((channel, End()))
            case _:
                super()._from_last(action)

    # -- what is true -----------------------------------------------------------------------

    def check_hop(self) -> None:
        """See the module."""
        spec, record = self.hop.spec, self.hop_feeder.record
        met = record.peer_copy is not None and record.epoch == spec.epoch == self.points_at
        if met and not spec.resting:
            super().check_hop()

    def equal(self) -> bool:
        """Whether the first two copies hold the same bytes."""
        return self.far.disk.seen == self.near.disk.seen
