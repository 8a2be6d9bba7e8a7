"""The oracle's memory: it accepts what the law allows and nothing else."""

import pytest

from farshore.model.positions import Position
from farshore.model.volumes import FLUSH, WRITE, ZERO, Operation
from sim import stamps
from sim.app import Request
from sim.disk import SECTOR
from sim.prefix import Prefix
from sim.truth import Standing, Truth
from sim.world import BrokenRule

G, NEXT, LINK = b"g" * 16, b"n" * 16, b"l" * 16
APPLIED = Standing(LINK, applied=True, durable=False, flushes=True)


class History:
    """A truth over one blank volume of four sectors, and a short way to write to it."""

    def __init__(self) -> None:
        self.truth = Truth({1: bytes(4 * SECTOR)})
        self.truth.begun(G, {1: bytes(4 * SECTOR)})
        self.image = {1: bytearray(4 * SECTOR)}
        self.requests = 0

    def write(self, sector: int, *, code: int = WRITE, local: bool = True) -> Request:
        """Issues one write; with `local` it reaches the primary's image."""
        self.requests += 1
        operation: Operation = (1, code, sector * SECTOR, SECTOR)
        data = stamps.payload(1, sector * SECTOR, SECTOR, self.requests) if code == WRITE else None
        request = Request(self.requests, 0, operation, data, False, 0.0)
        self.truth.sent(request)
        first = self.truth.sequence + 1
        self.truth.issued(G, first, Position(G, first - 1), [operation], [data])
        if local:
            self.image[1][sector * SECTOR : (sector + 1) * SECTOR] = data or bytes(SECTOR)
        return request

    def flush(self, *standings: Standing) -> None:
        covers = len(self.truth.answered)
        self.truth.acknowledged(Request(0, 0, (0, FLUSH, 0, 0), None, False, 0.0, covers), standings)

    def copy(self) -> dict[int, bytearray]:
        return {1: bytearray(self.image[1])}


def test_a_sequence_is_given_once() -> None:
    history = History()
    history.write(0)
    with pytest.raises(BrokenRule, match="D1"):
        history.truth.issued(G, 1, Position(G, 0), [(1, ZERO, 0, SECTOR)], [None])


def test_a_generation_is_minted_once() -> None:
    with pytest.raises(BrokenRule, match="D1"):
        History().truth.begun(G, {})


def test_an_acknowledged_write_survives_the_death_of_the_process() -> None:
    history = History()
    history.truth.acknowledged(history.write(0, local=False), [])
    with pytest.raises(BrokenRule, match="C2"):
        history.truth.settle(history.image, power_lost=False)


def test_an_acknowledged_write_may_be_lost_with_the_power_until_it_is_flushed() -> None:
    history = History()
    history.truth.acknowledged(history.write(0, local=False), [])
    history.truth.settle(history.image, power_lost=True)
    history.truth.acknowledged(history.write(0, local=False), [])
    history.flush()
    with pytest.raises(BrokenRule, match="C1"):
        history.truth.settle(history.image, power_lost=True)


def test_what_was_lost_does_not_come_back() -> None:
    history = History()
    lost = history.write(0, local=False)
    history.truth.settle(history.image, power_lost=True)
    assert lost.payload is not None
    history.image[1][:SECTOR] = lost.payload
    with pytest.raises(BrokenRule):
        history.truth.settle(history.image, power_lost=True)


def test_a_later_write_stands_in_for_an_earlier_one() -> None:
    history = History()
    history.truth.acknowledged(history.write(0), [])
    history.write(0, code=ZERO)
    history.flush()
    history.truth.settle(history.image, power_lost=True)


def test_what_nobody_wrote_is_noticed() -> None:
    history = History()
    history.image[1][0] = 1
    with pytest.raises(BrokenRule):
        history.truth.settle(history.image, power_lost=True)


def test_a_peer_keeps_what_was_acknowledged_while_it_counted() -> None:
    history = History()
    behind = history.copy()
    history.truth.acknowledged(history.write(1), [])
    history.truth.check_peer(LINK, behind, power_lost=False)
    history.truth.acknowledged(history.write(2), [APPLIED])
    history.truth.check_peer(LINK, history.image, power_lost=False)
    with pytest.raises(BrokenRule, match="C2"):
        history.truth.check_peer(LINK, behind, power_lost=False)


def test_at_a_peer_only_what_a_flush_covers_survives_a_power_loss() -> None:
    history = History()
    behind = history.copy()
    history.truth.acknowledged(history.write(1), [APPLIED])
    history.truth.check_peer(LINK, behind, power_lost=True)
    history.flush(APPLIED)
    with pytest.raises(BrokenRule, match="C2"):
        history.truth.check_peer(LINK, behind, power_lost=True)


def test_a_prefix_is_accepted_and_anything_else_is_not() -> None:
    history = History()
    history.write(0)
    early = history.copy()
    history.write(1)
    prefix = Prefix(history.truth)
    prefix.claimed(Position(G, 1), early)
    prefix.check(early, doubtful=False)
    with pytest.raises(BrokenRule, match="B3"):
        prefix.check(history.image, doubtful=False)
    prefix.applied(Position(G, 2))
    prefix.check(history.image, doubtful=False)
    with pytest.raises(BrokenRule, match="B3"):
        prefix.check(early, doubtful=False)


def test_after_a_power_loss_later_operations_may_be_there_if_the_copy_says_so() -> None:
    history = History()
    blank = history.copy()
    history.write(0)
    history.write(1)
    prefix = Prefix(history.truth)
    prefix.claimed(Position(G, 2), history.copy())
    prefix.restarted(Position(G, 0), 2, None)
    history.image[1][:SECTOR] = bytes(SECTOR)
    prefix.check(blank, doubtful=False)
    prefix.check(history.image, doubtful=True)
    with pytest.raises(BrokenRule, match="does not say so"):
        prefix.check(history.image, doubtful=False)


def test_after_the_death_of_a_process_the_image_is_still_a_prefix() -> None:
    history = History()
    blank = history.copy()
    history.write(0)
    history.write(1)
    gap = history.copy()
    gap[1][:SECTOR] = bytes(SECTOR)
    for images, fine in ((blank, True), (history.image, True), (gap, False)):
        prefix = Prefix(history.truth)
        prefix.claimed(Position(G, 0), blank)
        if fine:
            prefix.restarted(Position(G, 0), 2, images)
        else:
            with pytest.raises(BrokenRule, match="B3"):
                prefix.restarted(Position(G, 0), 2, images)


def test_a_stream_goes_on_in_another_generation_only_over_the_same_image() -> None:
    history = History()
    history.write(0)
    prefix = Prefix(history.truth)
    prefix.claimed(Position(G, 1), history.copy())
    history.truth.begun(NEXT, {1: bytes(4 * SECTOR)})
    with pytest.raises(BrokenRule, match="D2"):
        prefix.applied(Position(NEXT, 2))
