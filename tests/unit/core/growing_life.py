"""One life of a chain in which a volume grows again and again, whatever else happens to the three copies.

Somebody makes room at the last copy, the middle and the primary, in this order, each once the one before is
durably ready, and then has the volume grow; whoever dies meanwhile, the same is asked again. When the faults
stop, all copies have the newest size, and are equal.
"""

from collections.abc import Callable
from functools import partial

from farshore.core import growing
from farshore.errors import FarshoreError
from farshore.model.header import Header
from tests.unit.core.chain_life import Life, Things
from tests.unit.core.far import Far

SECTOR = 512
_MOST = 192 << 10


class GrowingLife(Life):
    """See the module."""

    wanted = 64 << 10
    grown = 0
    """How often."""
    secondaries_first = True

    def things(self) -> Things:
        return (*super().things(), (14, self.grow))

    def step(self) -> None:
        super().step()
        chain = self.chain
        disks = (chain.last.disk, chain.middle.disk, chain.near.disk)
        for disk, header in zip(disks, self.headers, strict=True):
            size = max([64 << 10, *[each.size for each in header.rooms]])
            assert not any(disk.seen[1][size:]), "a copy holds something behind the size that it knows"

    @property
    def headers(self) -> tuple[Header, Header, Header]:
        """Durable ones: of the last copy, the middle and the primary."""
        return self.chain.last.header, self.chain.middle.header, self.chain.near.header

    @property
    def size(self) -> int:
        """Of the volume at the primary."""
        return self.chain.near.core.geometry.sizes[1]

    def grow(self) -> None:
        """A larger volume is wanted, or the next step towards it is taken."""
        if self.size >= self.wanted:
            more = self.random.choice((1, 7, 8, 20)) * SECTOR
            self.wanted = min(_MOST, self.wanted + more)
        self.go_on()

    def go_on(self) -> None:
        """The next step towards the size that is wanted."""
        chain = self.chain
        near = chain.near
        for shell, header in zip((chain.last, chain.middle), self.headers, strict=False):
            if self.secondaries_first and growing.room_for(header, 1, 0) < self.wanted:
                self.ask(partial(_make_room, shell, self.wanted))
                return
        if not chain.alive or self.size >= self.wanted:
            return
        if growing.room_for(near.header, 1, 0) < self.wanted:
            self.ask(lambda: near.run(near.core.resizing.room.make(1, self.wanted)))
        else:
            self.grown += 1
            self.ask(lambda: near.run(near.core.resizing.resize(1, self.wanted)))

    def ask(self, ask: Callable[[], None]) -> None:
        """Refused where something is under way already."""
        try:
            ask()
        except FarshoreError as refused:
            if refused.code.name != "wrong-state":
                raise

    def _write(self) -> None:
        if self._writable():
            last = self.size // SECTOR
            places = [self.random.randrange(last) for _ in range(self.random.randint(1, 3))]
            if self.random.random() < 0.3:
                places.append(last - 1)
            self.chain.write(*[SECTOR * place for place in places])

    def converged(self) -> bool:
        self.go_on()
        chain = self.chain
        sizes = {each.core.geometry.sizes[1] for each in (chain.near, chain.middle, chain.last)}
        return super().converged() and sizes == {self.wanted}


def _make_room(far: Far, size: int) -> None:
    far.run(far.core.room.make(1, size))
