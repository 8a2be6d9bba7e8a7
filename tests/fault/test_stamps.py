"""The oracle itself: an image that is wrong has to be found wrong."""

import pytest

from tests.stamps import SECTOR, Application, Ticks, Write, payload, sequences

_GROUP = b"testing!"
_SECTORS = 8


class _Written:
    """A group of two volumes whose writes are done one after another."""

    def __init__(self) -> None:
        self.application = Application(_GROUP, Ticks())
        self.images = {0: bytearray(_SECTORS * SECTOR), 1: bytearray(_SECTORS * SECTOR)}

    def put(self, write: Write) -> None:
        data = payload(_GROUP, write.volume, write.sector, write.sectors, write.sequence)
        at = write.sector * SECTOR
        self.images[write.volume][at : at + len(data)] = data

    def write(self, volume: int, sector: int, sectors: int = 1, *, kept: bool = True) -> Write:
        """A write that is answered; `kept`: it is in the image."""
        write = self.application.send(volume, sector, sectors)
        if kept:
            self.put(write)
        self.application.answered(write)
        return write

    def missing(self) -> list[str]:
        return self.application.missing(self.parsed(), self.application.tick())

    def disorder(self) -> list[str]:
        return self.application.disorder(self.parsed())

    def parsed(self) -> dict[int, list[int]]:
        return {volume: sequences(_GROUP, volume, bytes(image)) for volume, image in self.images.items()}


def test_an_image_with_everything_lacks_nothing() -> None:
    written = _Written()
    for sector in range(_SECTORS - 1):
        written.write(sector % 2, sector, 2)
    assert written.missing() == []
    assert written.disorder() == []


def test_an_answered_write_that_is_not_there_is_missing() -> None:
    written = _Written()
    written.write(0, 1)
    written.write(0, 3, 2, kept=False)
    assert len(written.missing()) == 2
    assert written.disorder() == []  # it was the last one: without it the image is a prefix


def test_an_older_write_in_place_of_an_answered_one_is_missing() -> None:
    written = _Written()
    written.write(1, 2)
    written.write(1, 2, kept=False)
    assert len(written.missing()) == 1


def test_a_hole_before_the_youngest_write_is_no_prefix_also_across_volumes() -> None:
    written = _Written()
    written.write(0, 0, kept=False)
    written.write(1, 0)
    assert len(written.disorder()) == 1


def test_of_two_writes_under_way_at_once_either_may_be_the_older() -> None:
    written = _Written()
    first, second = written.application.send(0, 0, 1), written.application.send(0, 0, 1)
    written.put(second)
    written.put(first)
    written.application.answered(second)
    written.application.answered(first)
    assert written.missing() == []
    assert written.disorder() == []


def test_an_unanswered_write_may_be_there_or_not() -> None:
    written = _Written()
    lost = written.application.send(0, 0, 1)
    assert written.missing() == []
    written.put(lost)
    assert written.missing() == []


def test_a_write_of_a_dead_process_cannot_cover_a_later_one() -> None:
    written = _Written()
    lost = written.application.send(0, 0, 1)
    written.application.lost([lost])
    written.write(0, 0, kept=False)
    written.put(lost)
    assert len(written.missing()) == 1


def test_what_was_settled_cannot_come_back_older() -> None:
    written = _Written()
    old = written.write(0, 0)
    written.write(0, 0)
    written.application.settle(written.parsed())
    assert written.missing() == []
    written.put(old)
    assert any("come back" in each for each in written.missing())


def test_a_sector_that_nobody_wrote_so_is_torn() -> None:
    written = _Written()
    write = written.write(0, 0)
    written.images[0][100] ^= 1
    with pytest.raises(AssertionError, match="torn"):
        written.parsed()
    written.images[0][:SECTOR] = payload(_GROUP, 0, 1, 1, write.sequence)
    with pytest.raises(AssertionError, match="holds a stamp of"):
        written.parsed()
