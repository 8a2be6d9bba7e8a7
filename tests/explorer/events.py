"""What can happen to a group, each as a function from a world to the next one, and the rules checked in it.

A life runs one primary with the peers in reach, and ends with stops, deaths or losses of power, wherever its
lines had got to. Between lives an operator promotes, demotes, points copies elsewhere and consents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from farshore.core.history import Relation, compare
from farshore.errors import FarshoreError
from farshore.model.header import Upstream
from farshore.model.options import LinkOptions, Mode, Role
from farshore.model.positions import History, Position
from tests.explorer import copies
from tests.explorer.copies import REGIONS, Kept, image, image_of, link_id
from tests.explorer.meeting import Elsewhere, Meeting
from tests.explorer.world import Truth, World
from tests.unit.core.far import Far

SYNC = LinkOptions(mode=Mode.SYNC)


class RuleBroken(AssertionError):
    """A rule of the law does not hold; the first word is its number."""


@dataclass(frozen=True)
class Life:
    """One primary runs. With `units` the lines carry no more than so many from it and break before the
    write; with `silent` they break before the write and behind everything else."""

    primary: int
    there: frozenset[int] = frozenset()
    write: int | None = None
    """The region that is written."""
    units: int | None = None
    silent: bool = False
    near: str = "stop"
    far: str = "stop"

    def happen(self, world: World, how: LinkOptions = SYNC) -> World:
        """Raises RuleBroken."""
        copy = world.of(self.primary)
        meeting = Meeting(copy, world.others(self.primary), self.there, how)
        if self.units is not None:
            meeting.stop_after(self.units)
        meeting.start_near(copy.boot_id, "alone")
        meeting.settle()
        truth = _began(world.truth, meeting, self.primary)
        told = frozenset(
            {self.primary}
            if any(isinstance(each, Elsewhere) and each.told for each in meeting.fars.values())
            else ()
        )
        truth = replace(truth, told=truth.told | told)
        if self.units is not None or self.silent:
            for link, line in meeting.lines.items():
                if line.up:
                    meeting.cut(link)
            meeting.turn(3)
        written = world.written
        if self.write is not None:
            written += 1
            truth = _written(truth, meeting, self, written)
        if self.units is None and not self.silent:
            _check_in_step(meeting)
        _check_fillings(world, meeting)
        truth = _followed(truth, world, meeting)
        _check_images(truth, meeting)
        return World(meeting.end(self.near, self.far), _kept_promises(truth, self, meeting), written)


def _began(truth: Truth, meeting: Meeting, primary: int) -> Truth:
    """A start has minted a generation, on top of what the copy holds."""
    core = meeting.near.core
    generation = core.generation
    if not generation or generation in truth.began:
        return truth
    began = {**truth.began, generation: image(meeting.near.disk.seen[1])}
    if generation in truth.writer:
        raise RuleBroken(f"D7: two copies write in one generation: {truth.writer[generation]}, {primary}")
    return replace(truth, began=began, writer={**truth.writer, generation: primary})


def _written(truth: Truth, meeting: Meeting, life: Life, number: int) -> Truth:
    assert life.write is not None
    core = meeting.near.core
    before = core.sequence
    in_step = {meeting.others[link].number for link, feeder in core.feeders.items() if feeder.replicating}
    token = meeting.write(life.write, number)
    meeting.turn(3)
    for _ in range(30):
        if token in meeting.near.replies:
            break
        meeting.turn(step=0.05)
    answered = meeting.near.replies.get(token) == 0
    if answered and life.primary in truth.told:
        raise RuleBroken("D6: a former primary that was told of a newer one has acknowledged a write")
    if core.sequence == before:
        if answered:
            raise RuleBroken("D1: a write was acknowledged that has no place")
        return truth
    place = (core.generation, core.sequence)
    writes = {**truth.writes, place: (life.write, number)}
    promised = dict(truth.promised)
    if answered:
        for peer in in_step:
            promised[peer] = promised.get(peer, frozenset()) | {place}
    return replace(truth, writes=writes, promised=promised)


# -- rules --------------------------------------------------------------------------------------


def _check_in_step(meeting: Meeting) -> None:
    """A1: a link that replicates and has nothing under way has a peer with the same bytes."""
    mine = image(meeting.near.disk.seen[1])
    for link, feeder in meeting.near.core.feeders.items():
        far = meeting.fars[link]
        if isinstance(far, Far) and feeder.replicating and image_of(far) != mine:
            raise RuleBroken(f"A1: in step, and {mine} stands against {image_of(far)}")


def _check_fillings(world: World, meeting: Meeting) -> None:
    """D2, D7: what was overwritten at a peer had a place in the primary's own history, or a plan named it."""
    history, truth = meeting.near.core.history(), world.truth
    for link, far in meeting.fars.items():
        other = meeting.others[link]
        if not isinstance(far, Far) or other.header.resync is not None:
            continue
        consent = meeting.copy.consent(other.number)
        head = other.header.history.head
        if consent is not None and head is not None and consent.generation == head.generation:
            continue
        for old, new in zip(image(other.seen), image(far.disk.seen[1]), strict=True):
            place = truth.place_of(old)
            if old != new and place is not None and not history.holds(Position(*place)):
                raise RuleBroken(f"D7: write {old} of another history was overwritten by {new}")


def _check_images(truth: Truth, meeting: Meeting) -> None:
    """B3, D2: a peer that calls itself consistent holds what its history says, no more and no less."""
    for far in meeting.fars.values():
        if isinstance(far, Far) and far.core.consistent:
            expected = truth.image_at(far.core.history())
            if expected is not None and image_of(far) != expected:
                raise RuleBroken(f"D2: a peer holds {image_of(far)}, and its history says {expected}")


def _followed(truth: Truth, world: World, meeting: Meeting) -> Truth:
    """A copy that took another history by a plan owes nothing of what it was promised to hold."""
    promised = dict(truth.promised)
    for link, far in meeting.fars.items():
        other = meeting.others[link]
        if not isinstance(far, Far) or meeting.copy.consent(other.number) is None:
            continue
        if compare(far.core.history(), other.header.history) is Relation.DIVERGED:
            promised.pop(other.number, None)
    return replace(truth, promised=promised)


def _kept_promises(truth: Truth, life: Life, meeting: Meeting) -> Truth:
    """What was only applied is not promised any more where the power went (rule B3)."""
    promised = dict(truth.promised)
    if life.far == "power":
        for link, far in meeting.fars.items():
            if isinstance(far, Far):
                promised.pop(meeting.others[link].number, None)
    if life.near == "power":
        promised.pop(life.primary, None)
    return replace(truth, promised=promised)


def check_promise(truth: Truth, copy: Kept) -> None:
    """C2, D7: a copy that is made the primary has what it was acknowledged to have."""
    history = copy.header.history
    for place in truth.promised.get(copy.number, ()):
        if not history.holds(Position(*place)):
            raise RuleBroken(f"C2: copy {copy.number} is promoted without write {truth.writes[place]}")


def check_promoted(truth: Truth, copy: Kept, *, doubtful: bool) -> None:
    """D1: the image that is promoted is the one at which its history ends."""
    expected = truth.image_at(copy.header.history)
    if not doubtful and expected is not None and image(copy.seen) != expected:
        raise RuleBroken(f"D1: promoted with {image(copy.seen)}, and its history says {expected}")


# -- what an operator does ----------------------------------------------------------------------


@dataclass(frozen=True)
class Promote:
    """A secondary becomes a primary."""

    number: int

    def happen(self, world: World) -> World | None:
        """None where that is refused."""
        copy = world.of(self.number)
        if copy.role is Role.PRIMARY:
            return None
        try:
            new = copies.promoted(copy, world.others(self.number))
        except FarshoreError:
            return None
        head = copy.header.history.head
        doubtful = head is not None and copy.header.doubtful_until > head.sequence
        check_promise(world.truth, new)
        check_promoted(world.truth, new, doubtful=doubtful or not _same_boot(copy))
        return world.with_copy(new)


def _same_boot(copy: Kept) -> bool:
    return copy.header.boot == copy.boot_id


@dataclass(frozen=True)
class Follow:
    """A copy is to follow a primary: demoted if it is one itself."""

    number: int
    feeder: int

    def happen(self, world: World) -> World | None:
        """None where that changes nothing, or would leave nobody."""
        copy, feeder = world.of(self.number), world.of(self.feeder)
        if feeder.role is not Role.PRIMARY or self.number == self.feeder:
            return None
        link = link_id(self.feeder, self.number)
        known = copy.upstream or copy.header.upstream
        if copy.role is Role.SECONDARY and known is not None and known.link == link:
            return None
        upstream = Upstream(link, 1 if known is None else known.epoch + 1)
        make = copies.demoted if copy.role is Role.PRIMARY else copies.pointed
        told = world.truth.told - {self.number}
        return replace(world.with_copy(make(copy, upstream)), truth=replace(world.truth, told=told))


@dataclass(frozen=True)
class Consent:
    """A plan allows a primary to overwrite what a copy that follows it holds beyond their fork."""

    primary: int
    peer: int

    def happen(self, world: World) -> World | None:
        """None where it changes nothing."""
        copy, peer = world.of(self.primary), world.of(self.peer)
        if copy.role is not Role.PRIMARY or peer.role is Role.PRIMARY:
            return None
        head = head_now(peer)
        if head is None or copy.consent(self.peer) == head:
            return None
        others = tuple(each for each in copy.consents if each[0] != self.peer)
        return world.with_copy(replace(copy, consents=(*others, (self.peer, head))))


@dataclass(frozen=True)
class Damage:
    """The scoreboards of a copy cannot be read any more."""

    number: int

    def happen(self, world: World) -> World | None:
        """None where there are none."""
        copy = world.of(self.number)
        return world.with_copy(replace(copy, boards=())) if copy.boards else None


def head_now(peer: Kept) -> Position | None:
    """Where a secondary would say that its history ends."""
    far = copies.far_of(peer)
    far.start(peer.boot_id)
    far.core.clock(1.0, 1.0)
    far.run(far.core.start())
    history: History = far.core.history()
    return history.head


Event = Life | Promote | Follow | Consent | Damage


def lives(world: World) -> Iterator[Life]:
    """Every life that a primary may have next."""
    for primary in world.primaries:
        there = frozenset(each.number for each in world.others(primary))
        for region in range(REGIONS):
            for near in ("stop", "kill", "power"):
                yield Life(primary, write=region, near=near)
                for far in ("stop", "power"):
                    yield Life(primary, there, region, near=near, far=far)
            yield Life(primary, there, region, silent=True, near="kill", far="kill")
            for units in range(1, 6):
                for far in ("kill", "power"):
                    yield Life(primary, there, region, units, near="kill", far=far)


def decisions(world: World) -> Iterator[Event]:
    """Everything that an operator may do next."""
    numbers = range(len(world.copies))
    for number in numbers:
        yield Promote(number)
        yield Damage(number)
        for other in numbers:
            yield Follow(number, other)
            if other != number:
                yield Consent(other, number)
