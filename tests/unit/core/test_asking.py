"""A primary whose link rests asks its peer now and then what it is, and does nothing else (rule D6)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.fences import answer_to_former
from farshore.model import messages as m
from farshore.model.options import LinkState, Reason, ResyncKind, Role, Writes
from tests.unit.core.pair import REGION, SYNC, Pair
from tests.unit.core.scenes import running


def rests(pair: Pair, why: str) -> None:
    """The link logs and is not to go on by itself."""
    core = pair.near.core
    if why == "paused":
        pair.near.run(core.pause(None, False, 1.0))
    elif why == "autosync off":
        spec = replace(pair.feeder.spec, options=replace(SYNC, autosync=False))
        pair.near.run(core.change_link(spec))
        pair.cut()
        pair.turn(5)
        pair.mend()
    else:
        pair.cut()
        pair.write(0)
        pair.turn(5)
        pair.far.errors[a.BeginLayer] = [28]
        pair.mend()
        pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)


@pytest.mark.parametrize("why", ["paused", "autosync off", "store full"])
class TestNowAndThen:
    """Rule D6: a primary whose link rests hears of a promotion though nobody resumes that link."""

    def test_a_peer_that_has_become_the_primary_ends_the_writing_here(self, why: str) -> None:
        pair = running(SYNC)
        rests(pair, why)
        assert pair.answered(*pair.write(REGION)) or pair.near.core.writable is Writes.FLOWING
        header = replace(pair.far.header, role=Role.PRIMARY)

        def accepted(channel: bytes, hello: m.Hello) -> list[a.Action]:
            said = answer_to_former(header, hello)
            return [a.Send(channel, said), a.Close(channel, said.code, said.text)]

        setattr(pair.far.core, "accepted", accepted)  # noqa: B010
        pair.turn(70, step=1.0)
        assert pair.near.noted("peer-promoted")
        assert pair.near.header.fenced
        assert pair.is_in(LinkState.DIVERGED)
        assert "split-brain" in pair.feeder.next_step
        (token,) = pair.write(2 * REGION)
        pair.turn(20)
        assert not pair.answered(token)

    @pytest.mark.parametrize("there", [True, False])
    def test_one_that_follows_still_is_asked_and_nothing_else_happens(self, why: str, there: bool) -> None:
        pair = running(SYNC)
        rests(pair, why)
        pair.turn(5)
        if not there:
            pair.cut()
        standing, step, content = pair.feeder.standing, pair.feeder.next_step, bytes(pair.far.disk.seen[1])
        pair.write(3 * REGION)
        asked, lost = len(pair.near.carried(a.Connect)), len(pair.far.noted("feeder-lost"))
        pair.turn(200, step=1.0)
        assert asked + 2 <= len(pair.near.carried(a.Connect)) <= asked + 4
        assert (pair.feeder.standing, pair.feeder.next_step) == (standing, step)
        assert bytes(pair.far.disk.seen[1]) == content
        assert len(pair.far.noted("feeder-lost")) == lost
        if not there:
            pair.mend()
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert pair.equal()
