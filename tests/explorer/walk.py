"""The walk itself: breadth first, each state once, and from each state every way to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from farshore.model.header import Upstream
from farshore.model.options import LinkOptions, Role
from tests.explorer import copies
from tests.explorer.copies import image, image_of, link_id
from tests.explorer.events import SYNC, Consent, Event, Follow, Life, Promote, RuleBroken, decisions, lives
from tests.explorer.meeting import Meeting
from tests.explorer.world import World
from tests.unit.core.far import Far

GROUP = b"the group of all"


@dataclass
class Walk:
    """What was found. `story` tells of the events that lead to a state."""

    how: LinkOptions = SYNC
    states: int = 0
    events: int = 0
    refused: int = 0
    mended: int = 0
    seen: set[object] = field(default_factory=set)

    def all(self, start: World, depth: int) -> None:
        """Every state that so many events lead to. Raises RuleBroken with the story of what broke it."""
        edge: list[tuple[World, tuple[Event, ...]]] = [(start, ())]
        self.seen.add(start.key())
        for _ in range(depth):
            edge = [reached for world, story in edge for reached in self._next(world, story)]
            self.states += len(edge)

    def _next(self, world: World, story: tuple[Event, ...]) -> Iterator[tuple[World, tuple[Event, ...]]]:
        for event in (*lives(world), *decisions(world)):
            told = (*story, event)
            try:
                reached = self.happen(event, world)
                if reached is None:
                    self.refused += 1
                    continue
                self.events += 1
                key = reached.key()
                if key in self.seen:
                    continue
                self.seen.add(key)
                self.mend(reached)
            except (AssertionError, ValueError, KeyError) as broken:
                lines = "\n  ".join(map(str, told))
                raise RuleBroken(f"{broken!r}\n  {lines}") from broken
            yield reached, told

    def happen(self, event: Event, world: World) -> World | None:
        """One event."""
        return event.happen(world, self.how) if isinstance(event, Life) else event.happen(world)

    def mend(self, world: World) -> None:
        """Whichever copy an operator chooses to keep, the others become its equals, and it stays as it is
        (rules A5, D7, F2)."""
        for number in range(len(world.copies)):
            chosen = self._chosen(world, number)
            if chosen is not None:
                self._converge(chosen, number)
                self.mended += 1

    def _chosen(self, world: World, number: int) -> World | None:
        """That copy is the primary, the others follow it, and what they hold beyond it may go."""
        if world.of(number).role is not Role.PRIMARY:
            promoted = Promote(number).happen(world)
            if promoted is None:
                return None
            world = promoted
        elif world.of(number).header.fenced:
            # A plan says that it is the primary after all: a turn to the role that it has.
            copy = world.of(number)
            header = replace(copy.header, fenced="", successor=None)
            world = world.with_copy(replace(copy, header=header))
        world = replace(world, truth=replace(world.truth, told=world.truth.told - {number}))
        for other in world.others(number):
            world = Follow(other.number, number).happen(world) or world
            world = Consent(number, other.number).happen(world) or world
        return world

    def _converge(self, world: World, number: int) -> None:
        copy = world.of(number)
        meeting = Meeting(copy, world.others(number), frozenset(range(len(world.copies))), self.how)
        kept = image(copy.seen)
        meeting.start_near(copy.boot_id, "alone")
        meeting.settle()
        mine = image(meeting.near.disk.seen[1])
        if mine != kept:
            raise RuleBroken(f"D7: the copy that is kept held {kept}, and holds {mine} now")
        for link, far in meeting.fars.items():
            feeder, peer = meeting.near.core.feeders[link], meeting.others[link].number
            if not isinstance(far, Far) or not feeder.replicating:
                raise RuleBroken(
                    f"F2: copy {peer} does not come back to {number}: {feeder.state}, {_why(meeting)}"
                )
            if image_of(far) != mine:
                raise RuleBroken(f"A5: {peer} holds {image_of(far)} beside {mine} of {number} and is in step")


def _why(meeting: Meeting) -> list[tuple[str, dict[str, object]]]:
    return [(note.kind, note.fields) for note in meeting.near.notes][-6:]


def pair_in_step(how: LinkOptions = SYNC) -> World:
    """A primary and a secondary that has all of it."""
    first = copies.blank(0, GROUP, Role.PRIMARY, None)
    second = copies.blank(1, GROUP, Role.SECONDARY, Upstream(link_id(0, 1), 1))
    return Life(0, frozenset({1}), 0).happen(World((first, second)), how)


def pair_parted(how: LinkOptions = SYNC) -> World:
    """Both wrote on their own: the first until it died, the second since it was promoted."""
    return told(
        pair_in_step(how), how, Life(0, write=0, near="kill"), Promote(1), Life(1, write=1, near="kill")
    )


def pair_following(how: LinkOptions = SYNC) -> World:
    """And the first follows the second by now; nobody has said yet that what it wrote may go."""
    return told(pair_parted(how), how, Follow(0, 1))


def pair_interrupted(how: LinkOptions = SYNC) -> World:
    """A resync has begun and not ended."""
    away = Life(0, write=0, near="kill")
    return told(
        pair_in_step(how), how, away, replace(away, write=1), Life(0, frozenset({1}), None, 3, near="kill")
    )


def told(world: World, how: LinkOptions, *story: Event) -> World:
    """A world after some events, none of which is refused."""
    walk = Walk(how)
    for event in story:
        reached = walk.happen(event, world)
        assert reached is not None, event
        world = reached
    return world


def three_in_step(how: LinkOptions = SYNC) -> World:
    """A primary and two secondaries that have all of it."""
    others = [copies.blank(each, GROUP, Role.SECONDARY, Upstream(link_id(0, each), 1)) for each in (1, 2)]
    first = copies.blank(0, GROUP, Role.PRIMARY, None)
    return Life(0, frozenset({1, 2}), 0).happen(World((first, *others)), how)
