"""Short lives of a primary and its peers, drawn at random: rule A1 holds after every turn, every request
is answered once, and when the faults stop everybody converges (rule F2)."""

from dataclasses import dataclass, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from farshore.core import actions as a
from farshore.model.options import LinkOptions, Mode, ResyncKind
from tests.unit.core.pair import ASYNC, KIB, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, FREEZE

LINKS = st.sampled_from(
    [SYNC, ASYNC, replace(ASYNC, queue_memory=6 * KIB), replace(SYNC, first=ResyncKind.DIGEST)]
)
HOLDABLE = (a.SyncVolumes, a.WriteHeader, a.WriteBoard, a.WriteActivity, a.ReadRegion, a.Issue)


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    kind: str
    place: int = 0
    which: int = 0


STEPS = st.builds(
    Step,
    st.sampled_from(
        [
            "write", "write", "write", "write", "flush", "turn", "turn", "cut", "mend", "slow", "fast",
            "hold near", "hold far", "let", "kill near", "power near", "kill far", "power far",
            "pause", "drain", "resync", "digest", "full", "once", "stop", "back far",
        ]
    ),
    st.integers(0, 127),
    st.integers(0, 5),
)  # fmt: skip


class Life:
    """Carries out steps on a pair, and keeps what was acknowledged."""

    def __init__(self, links: tuple[LinkOptions, ...], capacity: int) -> None:
        self.pair = Pair(Wish(links=links, content=CONTENT, capacity=capacity))
        self.links = list(self.pair.lines)
        self.boots = dict.fromkeys(self.links, 1)
        self.boot = 1

    def take(self, step: Step) -> None:
        pair = self.pair
        link = self.links[step.which % len(self.links)]
        core = pair.near.core
        match step.kind:
            case "write":
                pair.write(step.place * 512, (step.place * 7 + step.which) % 128 * 512)
            case "flush":
                pair.flush()
            case "turn":
                pair.turn(1 + step.place % 16)
            case "cut":
                pair.cut(link, silent=bool(step.place % 2))
            case "mend":
                pair.mend(link)
            case "slow":
                pair.lines[link].room = step.place % 3
            case "fast":
                pair.lines[link].room = None
            case "hold near":
                pair.near.hold.add(HOLDABLE[step.which])
            case "hold far":
                pair.fars[link].hold.update({a.SyncVolumes, a.WriteDurable, a.CompareDigests})
            case "let":
                self.let_all()
            case "kill near" | "power near":
                self.restart(step.kind == "power near")
            case "kill far" | "power far":
                self.boots[link] += step.kind == "power far"
                pair.restart_far(f"boot-{self.boots[link]}", link)
            case "back far":
                self.boots[link] += step.place % 2
                pair.restart_far(f"boot-{self.boots[link]}", link, roll_back=True)
            case "pause" | "drain":
                pair.near.run(core.pause(link, step.kind == "drain", 0.2))
            case "stop":
                self.let_all()
                if not core.path.fault:
                    pair.stop_near()
                    pair.start_near(f"boot-{self.boot}")
            case _:
                kind = {"digest": ResyncKind.DIGEST, "full": ResyncKind.FULL}.get(
                    step.kind, ResyncKind.UPDATE
                )
                pair.near.run(core.resync(link, kind, step.kind == "once"))
        pair.turn()

    def let_all(self) -> None:
        self.pair.near.let_all()
        for far in self.pair.fars.values():
            far.let_all()

    def restart(self, lose_cache: bool) -> None:
        self.pair.kill_near(lose_cache=lose_cache)
        self.boot += lose_cache
        self.pair.start_near(f"boot-{self.boot}")

    def calm(self) -> None:
        """Faults stop; the operator wants every link."""
        pair = self.pair
        self.let_all()
        for link in self.links:
            pair.mend(link)
            pair.lines[link].room = None
        pair.turn(60)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        last = [*pair.write(0, 40 * KIB), pair.flush()]
        pair.turn(30)
        assert pair.answered(*last)
        assert pair.equal()
        assert pair.marked() == set()
        assert pair.near.core.path.waiting == 0
        assert not pair.near.core.path.barriers
        assert not pair.near.core.ledger.entries


@settings(max_examples=60, deadline=None)
@given(
    st.lists(LINKS, min_size=1, max_size=2).map(tuple),
    st.sampled_from((2, 4, 16)),
    st.lists(STEPS, min_size=1, max_size=30),
)
@example((LinkOptions(mode=Mode.SYNC),), 2, [Step("hold near", 0, 5), Step("write", 5, 0)])
def test_f2_every_life_ends_in_equal_copies(
    links: tuple[LinkOptions, ...], capacity: int, steps: list[Step]
) -> None:
    life = Life(links, capacity)
    for step in steps:
        life.take(step)
    life.calm()


QUIET = ("pause", "drain", "once", "power near", "kill near", "stop")


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS.filter(lambda step: step.kind not in QUIET), min_size=1, max_size=30))
def test_c4_no_write_that_a_freeze_link_acknowledged_is_ever_missing_at_its_peer(steps: list[Step]) -> None:
    """From its first replicating on; a power loss at the peer takes what was only applied there, so writes
    are acknowledged when they are durable."""
    life = Life((replace(FREEZE, ack=SYNC.ack.DURABLE),), 4)
    pair = life.pair
    pair.replicating()
    content: dict[int, bytes] = {}
    for number, step in enumerate(steps):
        if step.kind == "write":
            fill = bytes([number + 1])
            (token,) = pair.write(step.place * 512, fill=fill)
            pair.turn(3)
            if pair.answered(token):
                content[step.place] = fill
            else:
                content.pop(step.place, None)
        else:
            life.take(step)
        if pair.far.core.keeper.header.resync is None:
            safe = pair.far.disk.safe[1]
            for place, fill in content.items():
                assert safe[place * 512 : place * 512 + 512] == fill * 512
