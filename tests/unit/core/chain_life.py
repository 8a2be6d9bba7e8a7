"""One life of a chain, drawn from a seed: what may happen to it, and how it has to end.

Rules A1 and B6 are checked on the hop after every turn (see `chain`); when the faults stop, all copies
become equal (rule F2).
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeAlias

from farshore.core import actions as a
from farshore.core.feeder import Feeder
from farshore.model.options import Apply, LinkOptions, Mode, Reason, ResyncKind, Writes
from tests.unit.core.chain import HOP, Chain
from tests.unit.core.pair import KIB
from tests.unit.core.shells import Shell

_HELD = (
    a.SyncJournal,
    a.ApplyFrames,
    a.SyncVolumes,
    a.WriteBoard,
    a.WriteHeader,
    a.QueueRead,
    a.WriteDurable,
    a.ContinueJournal,
    a.BeginJournal,
    a.BeginLayer,
    a.SaveRegions,
)
_FULL = (a.ApplyFrames, a.AppendFrame, a.BeginJournal, a.ContinueJournal, a.BeginLayer, a.SaveRegions)
Things: TypeAlias = tuple[tuple[int, Callable[[], object]], ...]


def waits_for_room(feeder: Feeder) -> bool:
    """Rule E2: only an operator goes on from there."""
    return feeder.standing.reason is Reason.STORE_FULL


@dataclass
class Life:
    """One chain, and what happens to it."""

    seed: int
    boot: int = 1
    random: Random = field(init=False)
    chain: Chain = field(init=False)

    def __post_init__(self) -> None:
        self.random = chosen = Random(f"a chain's life {self.seed}")
        up = LinkOptions(
            mode=chosen.choice(list(Mode)),
            apply=chosen.choice(list(Apply)),
            queue_disk=chosen.choice((0, 0, 64 * KIB)),
        )
        hop = replace(
            HOP,
            mode=chosen.choice(list(Mode)),
            apply=chosen.choice(list(Apply)),
            queue_disk=chosen.choice((0, 4 * KIB, 64 * KIB)),
            queue_memory=chosen.choice((64 << 20, 8 * KIB)),
        )
        self.chain = self.made(up, hop)
        self.chain.write(0)
        self.chain.in_order()

    def made(self, up: LinkOptions, hop: LinkOptions) -> Chain:
        """The chain that lives."""
        return Chain(up, hop)

    @property
    def shells(self) -> tuple[Shell, ...]:
        """Of the three copies."""
        return self.chain.near, self.chain.middle, self.chain.last

    def step(self) -> None:
        """One thing happens, and some time passes."""
        things = self.things()
        (chosen,) = self.random.choices([do for _, do in things], [weight for weight, _ in things])
        chosen()
        self.chain.turn(self.random.choice((0, 1, 1, 2, 5, 20)))

    def things(self) -> Things:
        """What may happen, each with how often."""
        chain = self.chain
        return (
            (40, self._write),
            (5, lambda: self._writable() and chain.flush()),
            (5, chain.cut),
            (7, chain.mend),
            (4, chain.cut_hop),
            (7, chain.mend_hop),
            (4, self._restart_middle),
            (2, self._restart_last),
            (3, self._restart_near),
            (2, self._stop_middle),
            (5, lambda: chain.middle.hold.add(self.random.choice(_HELD))),
            (5, chain.middle.let_all),
            (2, self._narrow),
            (2, self._fill_disk),
            (2, self._new_hop),
            (3, lambda: self._resync_hop(self.random.choice(list(ResyncKind)))),
            (2, lambda: chain.near.run(chain.near.core.resync(chain.link, ResyncKind.UPDATE, False))),
        )

    def end(self) -> None:
        """Faults stop, the operator wants every link, and everything converges."""
        chain = self.chain
        for each in self.shells:
            each.let_all()
            each.errors.clear()
        chain.line.room = chain.hop.room = None
        chain.mend()
        chain.mend_hop()
        chain.turn(20)
        for _ in range(30):
            chain.turn(50)
            if self.converged():
                return
        raise AssertionError(
            f"no convergence: {chain.feeder.standing} {chain.feeder.why}, then {chain.hop_feeder.standing}"
            f" {chain.hop_feeder.why}; the middle equals the first: {chain.equal()}"
        )

    def converged(self) -> bool:
        """Whether all is as it should be; what the operator had stopped goes on."""
        chain = self.chain
        if chain.hop_feeder.record.paused or chain.hop_feeder.once or waits_for_room(chain.hop_feeder):
            self._resync_hop(ResyncKind.UPDATE, once=False)
        self.make_room()
        return chain.feeder.replicating and chain.hop_feeder.replicating and chain.all_equal()

    def make_room(self) -> None:
        """An operator goes on where the middle's store was full."""
        chain = self.chain
        if waits_for_room(chain.feeder):
            chain.near.run(chain.near.core.resync(chain.link, ResyncKind.UPDATE, False))

    # -- what may happen --------------------------------------------------------------------

    def _writable(self) -> bool:
        return self.chain.alive and self.chain.near.core.writable is Writes.FLOWING

    def _write(self) -> None:
        if self._writable():
            self.chain.write(*[512 * self.random.randrange(128) for _ in range(self.random.randint(1, 4))])

    def _boot(self, power_lost: bool) -> str:
        self.boot += power_lost
        return f"boot-{self.boot}" if power_lost else self.chain.middle.boot

    def _restart_middle(self) -> None:
        boot = self._boot(self.random.random() < 0.5)
        self.chain.restart_middle(boot, roll_back=self.random.random() < 0.5)

    def _restart_last(self) -> None:
        last, power_lost = self.chain.last, self.random.random() < 0.5
        self.chain.cut_hop()
        boot = self._boot(power_lost) if power_lost else last.boot
        last.forget()
        if power_lost:
            last.lose_power()
        last.start(boot)
        last.core.clock(self.chain.now, self.chain.now)
        last.run(last.core.start())
        self.chain.mend_hop()

    def _restart_near(self) -> None:
        for each in self.shells:
            each.let_all()
        if self.random.random() < 0.6:
            self.chain.stop_near()
        else:
            self.chain.kill_near()
        self.chain.start_near("boot-1")

    def _stop_middle(self) -> None:
        middle, chain = self.chain.middle, self.chain
        middle.let_all()
        middle.run(middle.core.stop())
        for _ in range(300):
            if middle.core.stopped:
                break
            middle.let_all()
            middle.core.clock(chain.now, chain.now)
            middle.run(middle.core.tick())
            chain.now += 0.01
        assert middle.core.stopped, "a clean stop has no end"
        chain.restart_middle(middle.boot)

    def _narrow(self) -> None:
        self.chain.hop.room = self.random.choice((None, 1, 2))
        self.chain.line.room = self.random.choice((None, 1, 3))

    def _fill_disk(self) -> None:
        errors = self.chain.middle.errors.setdefault(self.random.choice(_FULL), [])
        errors.extend([errno.ENOSPC] * self.random.randint(1, 3))

    def _new_hop(self) -> None:
        chain, middle = self.chain, self.chain.middle
        middle.let_all()
        middle.run(middle.core.relay.remove_link(chain.hop_id))
        middle.boards.pop(chain.hop_id, None)
        middle.run(middle.core.relay.add_link(chain.hop.spec))

    def _resync_hop(self, kind: ResyncKind, *, once: bool | None = None) -> None:
        relay = self.chain.middle.core.relay
        single = self.random.random() < 0.2 if once is None else once
        self.chain.middle.run(relay.resync(self.chain.hop_id, kind, single))
