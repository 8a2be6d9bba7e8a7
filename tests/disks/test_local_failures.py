"""Each error of each file of a copy, at either side: what it does, what status says, and how it ends.

Whatever fails, no engine ends by itself, nothing is acknowledged that is not so, and once the disk is well
again the documented command, or none, brings both copies to the same content.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from tests.disks.failing_disk import On, Rule
from tests.disks.pairs import PIECE, FailingPair
from tests.disks.table import CELLS, DIRECT, Cell, End
from tests.integration.engines import Engine
from tests.long_form import LONG
from tests.requires import requires
from tests.waiting import wait_until

pytestmark = requires("gcc")

_CHOSEN = [each for each in CELLS if LONG or each.quick]
_GROUPS = [list(cells) for _, cells in groupby(_CHOSEN, key=lambda each: (each.role, each.link))]
_NAMES = ["primary", "primary with a disk queue", "secondary", "secondary with a journal"]


@pytest.mark.parametrize("cells", _GROUPS, ids=_NAMES)
def test_an_error_of_a_disk_has_its_documented_end(failing: FailingPair, cells: list[Cell]) -> None:
    failing.start(cells[0].link)
    for cell in cells:
        try:
            _try(failing, cell)
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{cell}: {error}\n{failing.a.status()}\n{failing.b.status()}") from error


def _try(pair: FailingPair, cell: Cell) -> None:
    pids = pair.a.pid, pair.b.pid
    pair.app.write(0, 100, 200)
    pair.app.flush()
    before = len(pair.app.errors)
    pair.disk.fail(cell.rule)
    cell.do(pair)
    wait_until(lambda: pair.disk.hits() > 0, what="the disk to have failed")
    _ENDS[cell.end](pair)
    assert (pair.a.pid, pair.b.pid) == pids or cell.end in (End.FAULTED, End.DOUBTFUL)
    if cell.end not in (End.FAULTED, End.DOUBTFUL, End.REFUSED):
        assert len(pair.app.errors) == before, "the application is not disturbed"
    pair.disk.well()
    _REPAIRS[cell.end](pair)
    pair.in_step()
    pair.app.write(1, 101)
    pair.app.flush()
    assert pair.app.acknowledged[101] == pair.app.flushed[101]
    pair.in_step()
    pair.app.check(pair.image("b"), lost=cell.end is End.DOUBTFUL)
    pair.app.forget()


# -- what comes of it --------------------------------------------------------------------------------


def _until(engine: Engine, seen: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    wait_until(lambda: seen(engine.status()), 20.0, what=what)
    return engine.status()


def _faulted(pair: FailingPair) -> None:
    shown = _until(pair.a, lambda status: bool(status["fault"]), "the primary to be faulted")
    assert (shown["health"], shown["writes"]) == ("failed", "refused")
    assert "farshore repair" in shown["next"]
    count = len(pair.app.errors)
    pair.app.write(7)
    pair.app.flush()
    assert len(pair.app.errors) == count + 2
    with pytest.raises(OSError, match="refused"):
        pair.app.read(7)
    pair.app.close()


def _doubtful(pair: FailingPair) -> None:
    _faulted(pair)
    # What is shown may not be recorded yet, and a kill before is a crash as any other (decision 0027).
    wait_until(lambda: _recorded(pair.a), what="the fault to be recorded")
    pair.a.kill()  # whoever starts it again, it stays as it is
    pair.disk.well()
    pair.a.start()
    _faulted(pair)
    assert pair.a.status()["fault_doubts_volumes"]


def _recorded(engine: Engine) -> bool:
    """Whether the next process finds that this one has failed."""
    opened = HeaderFile.open(RealFiles(), f"{engine.directory}/header")
    opened.close()
    return opened.header.fault is not None


def _refused(pair: FailingPair) -> None:
    assert pair.app.errors
    pair.app.errors.clear()
    shown = pair.a.status()
    assert (shown["writes"], shown["fault"]) == ("flowing", None)
    assert "write-error" in pair.events(pair.a)


def _answered(pair: FailingPair) -> None:
    shown = pair.a.status()
    assert (shown["writes"], shown["health"]) == ("flowing", "failed")
    assert "read error EIO" in shown["fault"]
    assert shown["unreadable_bytes"]


def _marked(pair: FailingPair) -> None:
    _until(pair.a, lambda _: "queue-lost" in pair.events(pair.a), "the queue to be lost")
    assert pair.a.status()["writes"] == "flowing"


def _peer_faulted(pair: FailingPair) -> None:
    shown = _until(pair.b, lambda status: bool(status["fault"]), "the peer to be faulted")
    assert (shown["health"], shown["usable"]) == ("failed", False)
    _until(pair.a, lambda status: status["links"][0]["peer_usable"] is False, "its feeder to know")
    _until(pair.a, lambda status: status["links"][0]["reason"] == "peer-error", "the link to say so")
    assert "farshore repair" in pair.a.link()["next"]
    assert "farshore repair" in shown["next"]
    assert pair.a.status()["writes"] == "flowing"


def _peer_waits(pair: FailingPair) -> None:
    _until(pair.a, lambda status: status["links"][0]["reason"] == "peer-error", "the link to have stopped")
    assert "no space is left" in pair.a.link()["why"]
    assert not pair.b.status()["fault"]


def _copied(pair: FailingPair) -> None:
    _until(pair.b, lambda _: "read-error" in pair.events(pair.b), "the peer to tell of it")
    assert not pair.b.status()["fault"]


_ENDS: dict[End, Callable[[FailingPair], None]] = {
    End.FAULTED: _faulted,
    End.DOUBTFUL: _doubtful,
    End.REFUSED: _refused,
    End.ANSWERED: _answered,
    End.MARKED: _marked,
    End.PEER_FAULTED: _peer_faulted,
    End.PEER_WAITS: _peer_waits,
    End.COPIED: _copied,
}


# -- how it ends -------------------------------------------------------------------------------------


def _repair_here(pair: FailingPair) -> None:
    assert pair.repair(pair.a)["id"]
    assert not pair.a.status()["fault"]


def _repair_and_resync(pair: FailingPair) -> None:
    _repair_here(pair)
    link = pair.a.link()
    assert (link["state"], link["reason"]) == ("logging", "operator")
    pair.a.ask("resync", link=None, kind="update", once=False)


def _mend(pair: FailingPair) -> None:
    assert pair.repair(pair.a) == {"fault": "", "mended": 2, "left": 0}
    assert not pair.a.status()["fault"]


def _repair_there(pair: FailingPair) -> None:
    assert pair.repair(pair.b)["fault"]
    assert not pair.b.status()["fault"]


def _by_itself(pair: FailingPair) -> None:
    pair.door.open()


_REPAIRS: dict[End, Callable[[FailingPair], None]] = {
    End.FAULTED: _repair_here,
    End.DOUBTFUL: _repair_and_resync,
    End.ANSWERED: _mend,
    End.REFUSED: _by_itself,
    End.MARKED: _by_itself,
    End.PEER_FAULTED: _repair_there,
    End.PEER_WAITS: _by_itself,
    End.COPIED: _by_itself,
}


# -- what is kept ------------------------------------------------------------------------------------


def test_e1_a_resync_goes_on_over_a_region_that_its_undo_cannot_keep(failing: FailingPair) -> None:
    failing.start(DIRECT)
    failing.door.shut()
    wait_until(lambda: failing.a.link()["state"] == "logging", what="the line to be missed")
    failing.app.write(*range(2, 40))
    failing.app.flush()
    failing.disk.fail(Rule("b-data.img", On.READ, first=3 * PIECE, end=4 * PIECE))
    failing.door.open()
    failing.in_step()
    assert failing.disk.hits() >= 2, "it was tried once more by itself"
    told = failing.b.ask("events", since=0, wait=0)["events"]
    (said,) = [each["fields"] for each in told if each["kind"] == "layer-incomplete"]
    assert said["why"].endswith(": EIO")
    assert (said["where"], said["bytes"]) == (f"data at byte {3 * PIECE} (64 KiB)", PIECE)
    shown = failing.b.status()
    assert (shown["fault"], shown["preserve"]["layers"]) == (None, [])
    assert shown["usable"]
    failing.app.check(failing.image("b"), lost=False)
