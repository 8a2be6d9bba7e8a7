"""Lives in which the last copy of a chain is pointed from one feeder to the other and back, with deaths, cuts
and lost answers between any two steps of that (rules A1, B6, B8): nobody feeds whose link was paused, and
when the faults stop all three copies are equal (F2)."""

from dataclasses import dataclass, field
from enum import Enum, auto

import pytest

from farshore.core import actions as a
from farshore.core.feeder import Feeder
from farshore.model.options import LinkOptions, ResyncKind
from tests.long_form import LONG
from tests.unit.core.chain import Chain
from tests.unit.core.chain_life import Life, Things, waits_for_room
from tests.unit.core.rerouted import Rerouted

LIVES = 20_000 if LONG else 100
_STEPS = 70


class Feeds(Enum):
    """Who is to feed the last copy."""

    PRIMARY = auto()
    MIDDLE = auto()


class Done(Enum):
    """How far a reroute has come."""

    RESTED = auto()
    POINTED = auto()
    TAKEN = auto()


@dataclass
class RerouteLife(Life):
    """As any life of a chain; the node at the primary's side also reroutes, in the order of decision 0017."""

    follows: Feeds = Feeds.MIDDLE
    goal: Feeds | None = None
    """Of the reroute that is under way."""
    done: Done = Done.RESTED
    paused: set[Feeds] = field(default_factory=set)
    """Who was told to pause its link to the last copy, and was not told to resync since."""
    reroutes: int = 0

    def made(self, up: LinkOptions, hop: LinkOptions) -> Chain:
        return Rerouted(up, hop)

    @property
    def routed(self) -> Rerouted:
        """The chain."""
        assert isinstance(self.chain, Rerouted)
        return self.chain

    def things(self) -> Things:
        chain, near = self.routed, self.chain.near
        return (
            *super().things(),
            (90, self._go_on),
            (5, lambda: chain.cut(chain.hop_id)),
            (9, lambda: chain.mend(chain.hop_id)),
            (18, lambda: near.hold.add(self.random.choice((a.WriteHeader, a.WriteBoard)))),
            (10, near.let_all),
            (3, lambda: chain.last.hold.add(a.WriteHeader)),
            (4, chain.last.let_all),
            (10, self._pause),
            (20, lambda: self._wanted(self.follows)),
            (2, self._kill_near),
        )

    def step(self) -> None:
        super().step()
        self._check()

    def end(self) -> None:
        chain = self.routed
        for each in self.shells:
            each.let_all()
        self._check()
        chain.mend(chain.hop_id)
        chain.direct.room = None
        if self.goal is not None or not self._is_fed() or self.random.random() < 0.3:
            self._whole(self.random.choice(list(Feeds)))
        for feeds in Feeds:
            self._wanted(feeds)
        super().end()

    def converged(self) -> bool:
        feeder = self._feeder(self.follows)
        if feeder is not None and (feeder.record.paused or feeder.once or waits_for_room(feeder)):
            self._wanted(self.follows)
        self.make_room()
        fed = feeder is not None and feeder.replicating
        return fed and self.chain.feeder.replicating and self.chain.all_equal()

    # -- what has to be true ----------------------------------------------------------------

    def _check(self) -> None:
        for feeds in self.paused:
            feeder = self._feeder(feeds)
            sends = feeder is not None and (feeder.streaming or feeder.filling is not None)
            assert not sends, f"the link of the {feeds.name} was paused, and feeds"
        spec = self.routed.near_spec
        if self.chain.alive and spec is not None and not self.chain.near.hold:
            feeder = self._feeder(Feeds.PRIMARY)
            assert feeder is not None
            assert feeder.spec == spec, "the engine believes other than what it was told last"

    def _feeder(self, feeds: Feeds) -> Feeder | None:
        return self.routed.direct_feeder if feeds is Feeds.PRIMARY else self.chain.hop_feeder

    def _is_fed(self) -> bool:
        """Whether somebody is to feed the last copy."""
        spec = self.routed.near_spec if self.follows is Feeds.PRIMARY else self.chain.hop.spec
        return spec is not None and not spec.resting and spec.epoch == self.routed.points_at

    # -- a reroute --------------------------------------------------------------------------

    def _go_on(self) -> None:
        """The next step of a reroute, unless its node dies just here."""
        if self.goal is None:
            self._begin(self.random.choice(list(Feeds)))
        elif self.random.random() < 0.12:
            self.goal = None  # whoever asked is gone, or has no answer
        elif self.done is Done.RESTED and self._refused():
            self.goal = None
        else:
            self._next()

    def _begin(self, goal: Feeds) -> None:
        if goal is self.follows and self._is_fed():
            return
        self.goal, self.done = goal, Done.RESTED
        if self.follows is Feeds.PRIMARY and goal is Feeds.MIDDLE:
            if self.random.random() < 0.4:
                self.chain.near.hold.add(a.WriteHeader)  # what resting records takes its time
            self.routed.near_rests()

    def _refused(self) -> bool:
        """The far node refuses: whoever fed it feeds it as before."""
        chain = self.routed
        if self.random.random() > 0.4:
            return False
        spec = chain.near_spec
        if self.follows is Feeds.PRIMARY and spec is not None and spec.epoch == chain.points_at:
            chain.near_rests(resting=False)
        return True

    def _next(self) -> None:
        chain, goal = self.routed, self.goal
        match self.done:
            case Done.RESTED:
                assert goal is not None
                self.follows, self.done = goal, Done.POINTED
                chain.point_last(chain.points_at + 1)
            case Done.POINTED:
                self.done = Done.TAKEN
                self.reroutes += 1
                if goal is Feeds.PRIMARY:
                    chain.near_takes(chain.points_at)
                else:
                    chain.middle_is_told(epoch=chain.points_at, resting=False)
            case Done.TAKEN:
                self.goal = None
                if goal is Feeds.MIDDLE:
                    chain.near_rests()
                elif self.random.random() < 0.7:  # else it could not be told
                    chain.middle_is_told(epoch=chain.hop.spec.epoch, resting=True)

    def _whole(self, goal: Feeds) -> None:
        """A reroute from its beginning to its end."""
        self.goal = None
        self._begin(goal)
        while self.goal is not None:
            self._next()
        assert self._is_fed()

    # -- what an operator does --------------------------------------------------------------

    def _pause(self) -> None:
        feeds, drain = self.random.choice(list(Feeds)), self.random.random() < 0.3
        chain, feeder = self.routed, self._feeder(feeds)
        if feeder is None:
            return
        if feeds is Feeds.PRIMARY:
            chain.near.run(chain.near.core.pause(chain.hop_id, drain, 0.1))
        else:
            chain.middle.run(chain.middle.core.relay.pause(chain.hop_id, drain, 0.1))
        self.paused.add(feeds)

    def _wanted(self, feeds: Feeds) -> None:
        """The operator wants it to go on; of a link that rests nobody may ask that."""
        chain, feeder = self.routed, self._feeder(feeds)
        spec = chain.near_spec if feeds is Feeds.PRIMARY else chain.hop.spec
        if feeder is None or spec is None or spec.resting:
            return
        self.paused.discard(feeds)
        if feeds is Feeds.PRIMARY:
            chain.near.run(chain.near.core.resync(chain.hop_id, ResyncKind.UPDATE, False))
        else:
            self._resync_hop(ResyncKind.UPDATE, once=False)

    def _resync_hop(self, kind: ResyncKind, *, once: bool | None = None) -> None:
        if not self.chain.hop.spec.resting:
            self.paused.discard(Feeds.MIDDLE)
            super()._resync_hop(kind, once=once)

    # -- deaths -----------------------------------------------------------------------------

    def _kill_near(self) -> None:
        """With what it had under way, which may be the record of a pause."""
        chain = self.routed
        chain.kill_near()
        record = chain.near.header.link(chain.hop_id)
        if record is None or not record.paused:
            self.paused.discard(Feeds.PRIMARY)
        chain.start_near("boot-1")

    def _restart_middle(self) -> None:
        super()._restart_middle()
        record = self.chain.middle.header.link(self.chain.hop_id)
        if record is None or not record.paused:
            self.paused.discard(Feeds.MIDDLE)

    def _restart_last(self) -> None:
        last = self.chain.last
        self.routed.restart_last(self._boot(True) if self.random.random() < 0.5 else last.boot)

    def _new_hop(self) -> None:
        """Whoever does not feed the copy does not remake its link."""
        if self.follows is Feeds.MIDDLE and self._is_fed() and self.goal is None:
            self.paused.discard(Feeds.MIDDLE)
            super()._new_hop()


@pytest.mark.parametrize("first", range(1, LIVES, 10))
def test_f2_a_copy_that_is_pointed_to_and_fro_ends_equal_to_the_others(first: int) -> None:
    reroutes = 0
    for seed in range(first, first + 10):
        life = RerouteLife(seed)
        try:
            for _ in range(_STEPS):
                life.step()
            life.end()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
        reroutes += life.reroutes
    assert reroutes > 10
