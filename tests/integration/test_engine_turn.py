"""Two engines that change roles: one primary at a time, nothing lost, and nothing copied twice."""

import filecmp
from dataclasses import replace

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import ExportIntent
from farshore.model.options import Apply, LinkOptions, Mode, Role
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from tests.integration.conftest import Sites
from tests.integration.engines import Engine, Load
from tests.integration.turning import Turners, make_turners, new_turn
from tests.requires import requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZES = {"data": 32 * MIB}
LOAD = Load(longest="64k", flush_every=50)
SYNC = LinkOptions(mode=Mode.SYNC)
ASYNC = LinkOptions(apply=Apply.JOURNAL)

pytestmark = requires("qemu-io", "fio")


def _equal(turners: Turners) -> bool:
    return filecmp.cmp(turners.sites.image("a", "data"), turners.sites.image("b", "data"), shallow=False)


def _started(turners: Turners) -> None:
    turners.b.start()
    turners.a.start()
    turners.a.wait_until_clean()


def _fills(engine: Engine) -> int:
    sent = engine.link()["resent_bytes_total"]
    assert isinstance(sent, int)
    return sent


@pytest.mark.parametrize("options", [SYNC, ASYNC], ids=["sync, direct", "async, journal"])
def test_roles_go_there_and_back_without_a_resync(sites: Sites, options: LinkOptions) -> None:
    turners = make_turners(sites, SIZES, options)
    a, b = turners.a, turners.b
    _started(turners)
    load = a.load(60.0, LOAD)
    wait_until(lambda: a.status()["sequence"] > 200)
    drained = turners.switch(a, b)
    load.kill()
    load.wait()
    assert drained["links"] == [{"name": "b", "durable": drained["position"]["sequence"]}]
    b.wait_until_clean()
    assert _fills(b) == 0
    assert a.ask("history") == b.ask("history")
    assert b.ask("history")["history"][-1][0] == b.status()["generation"]
    assert (a.status()["role"], b.status()["role"]) == ("secondary", "primary")
    b.qemu_io("write -P 7 5M 3M", "flush")
    b.wait_until_clean()
    assert _equal(turners)
    turners.switch(b, a)
    a.wait_until_clean()
    assert _fills(a) == 0
    a.qemu_io("read -P 7 5M 3M", "write -P 8 6M 1M", "flush")
    a.wait_until_clean()
    assert _equal(turners)


def test_writes_wait_while_a_primary_is_drained_and_go_on_afterwards(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, SYNC)
    a = turners.a
    _started(turners)
    a.ask("drain")
    assert a.status()["writes"] == "held"
    assert "change of roles" in a.status()["held_by"]
    load = a.load(1.0, LOAD)
    a.ask("resume")
    assert load.wait(30) == 0
    assert a.status()["writes"] == "flowing"
    a.wait_until_clean()


def test_d4_what_a_hop_lacks_is_known_to_its_copy_when_that_becomes_the_primary(sites: Sites) -> None:
    chain = sites.chain(SIZES, ASYNC, ASYNC)
    a, b, c = chain.a, chain.b, chain.c
    for engine in (c, b, a):
        engine.start()
    a.wait_until_clean()
    b.wait_until_clean()
    a.qemu_io("write -P 1 0 16M", "flush")
    a.wait_until_clean()
    b.wait_until_clean()
    chain.behind.shut()
    a.qemu_io("write -P 2 4M 2M", "write -P 3 20M 1M", "flush")
    a.wait_until_clean()
    a.kill()
    assert b.terminate() == 0
    config = b.config
    nbd = ExportIntent(config.volumes[0].id, unix=config.control.removesuffix(".ctl") + ".nbd")
    b.write_intent(replace(config, role=Role.PRIMARY, turn=new_turn(), exports=(nbd,), on_start="alone"))
    b.start()
    chain.behind.open()
    b.qemu_io("read -P 2 4M 2M", "write -P 4 24M 1M", "flush")
    b.wait_until_clean()
    assert c.status()["generation"] == b.status()["generation"]
    assert filecmp.cmp(sites.image("b", "data"), sites.image("c", "data"), shallow=False)
    assert b.link()["resent_bytes_total"] <= 6 * MIB


def test_a_role_changes_by_a_turn_only(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, SYNC)
    a = turners.a
    a.start()
    assert a.terminate() == 0
    a.write_intent(replace(turners.as_secondary(a), turn=None))
    assert a.launch().wait(20) == 1
    assert "wrong-role" in a.log()


def test_a_copy_that_was_never_whole_is_not_promoted(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, SYNC)
    b = turners.b
    b.start()
    assert b.status()["promotable"] is False
    assert b.terminate() == 0
    before = b.config
    turners.promote(b)
    assert b.launch().wait(20) == 1
    assert "not-promotable" in b.log()
    b.write_intent(before)
    b.start()
    assert b.status()["role"] == "secondary"


def test_d6_a_former_primary_that_comes_back_is_answered_and_never_writes_again(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, SYNC)
    a, b = turners.a, turners.b
    _started(turners)
    a.qemu_io("write -P 1 0 8M", "flush")
    a.kill()
    assert b.terminate() == 0
    turners.promote(b)
    b.start()
    b.qemu_io("read -P 1 0 8M", "write -P 2 0 1M", "flush")
    a.start()
    wait_until(lambda: a.status()["fenced"] is not None, what=str(a.status()))
    assert a.link()["state"] == "diverged"
    assert a.status()["writes"] == "refused"
    assert any(each["kind"] == "peer-promoted" for each in a.ask("events")["events"])
    assert a.terminate() == 0
    b.terminate()
    a.start()
    assert a.status()["fenced"] is not None, "also where nobody is there to say so again"
    with pytest.raises(FarshoreError):
        a.ask("cut")


def _machine_restarts(engine: Engine) -> None:
    """As far as the copy can see: it ran last in another boot."""
    file = HeaderFile.open(RealFiles(), f"{engine.directory}/header")
    file.write(replace(file.header, boot="another boot"))
    file.close()


def test_d5_a_promoted_copy_that_reboots_writes_once_the_fenced_one_has_answered(sites: Sites) -> None:
    """Whose copy's id nobody could say at the failover."""
    turners = make_turners(sites, SIZES, SYNC)
    a, b = turners.a, turners.b
    _started(turners)
    a.kill()
    assert b.terminate() == 0
    intent = turners.as_primary(b)
    (back,) = intent.links
    b.write_intent(replace(intent, on_start="wait", links=(replace(back, peer_copy=""),)))
    b.start()
    b.qemu_io("write -P 2 0 1M", "flush")
    for fenced in (False, True):
        b.kill()
        _machine_restarts(b)
        b.start()
        if not fenced:
            wait_until(lambda: bool(b.link()["why"]), what=str(b.link()))
            assert b.status()["writes"] == "held"
            a.start()
            wait_until(lambda: a.status()["fenced"] is not None)
        wait_until(lambda: b.status()["writes"] == "flowing", what=str(b.status()))
        assert "waits for a plan" in b.link()["why"]
        b.qemu_io("write -P 3 0 1M", "flush")
    a.kill()
    a.start()
    wait_until(lambda: a.status()["writes"] == "refused")
    assert b.status()["writes"] == "flowing"
    told = [each for each in a.ask("events")["events"] if each["kind"] == "asked-by-another"]
    assert len(told) <= 1, "whoever asks again and again is told of once"


def test_d6_a_primary_that_still_runs_stops_when_it_hears_of_the_other(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, SYNC)
    a, b = turners.a, turners.b
    _started(turners)
    turners.to_b.shut()
    assert b.terminate() == 0
    turners.promote(b)
    b.start()
    a.qemu_io("write -P 3 0 1M", "flush")
    turners.to_b.open()
    wait_until(lambda: a.status()["fenced"] is not None)
    assert a.status()["health"] == "diverged"


def test_e7_what_a_verify_has_found_is_compared_after_the_roles_have_changed(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, SYNC)
    a, b = turners.a, turners.b
    _started(turners)
    a.qemu_io("write -P 7 0 4M", "flush")
    a.wait_until_clean()
    with sites.image("b", "data").open("r+b") as file:  # b's disk rots
        file.seek(2 * MIB)
        file.write(b"rotten" * 100)
    a.ask("verify", link="b")
    wait_until(lambda: a.link()["verify"]["state"] == "finished")
    assert a.link()["peer_usable"] is False
    turners.switch(a, b)
    b.wait_for_link("replicating")
    b.wait_until_clean()
    told = b.link()
    assert _equal(turners) or told["peer_usable"] is not True, (told["state"], told["peer_usable_why"])
