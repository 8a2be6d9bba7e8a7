"""A start that carries out a turn: what fails after it is not told as one that did not happen."""

import json
import socket
from dataclasses import replace

from farshore.model.copy_config import ExportIntent
from farshore.model.options import LinkOptions, Mode, Role
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.integration.turning import Turners, make_turners
from tests.requires import requires
from tests.waiting import wait_until

SIZES = {"data": 8 << 20}
SYNC = LinkOptions(mode=Mode.SYNC)

pytestmark = requires("qemu-io")


def _two_that_have_met(sites: Sites) -> Turners:
    turners = make_turners(sites, SIZES, SYNC)
    turners.b.start()
    turners.a.start()
    turners.a.wait_until_clean()
    assert turners.a.terminate() == 0
    assert turners.b.terminate() == 0
    return turners


def _failure(engine: Engine) -> dict[str, str]:
    assert engine.launch().wait(20) == 1
    found: dict[str, str] = json.loads((engine.directory / "failure.json").read_text())
    return found


def test_an_address_that_is_not_here_yet_keeps_no_copy_from_being_the_primary(sites: Sites) -> None:
    turners = _two_that_have_met(sites)
    b = turners.b
    config = turners.as_primary(b)
    volume = config.volumes[0].id
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        more = (ExportIntent(volume, tcp="192.0.2.1:10809"), ExportIntent(volume, tcp=taken, read_only=True))
        b.write_intent(replace(config, exports=(*more, *config.exports)))
        b.start()
        wait_until(lambda: b.status()["writes"] == "flowing")
        refused = {each["address"] for each in b.status()["not_exported"]}
        assert refused == {"192.0.2.1:10809", taken}
        b.write_intent(replace(b.config, links=()))
        b.ask("reload")  # an operator who changes something else is not kept from it
        fewer = tuple(each for each in b.config.exports if each.tcp != "192.0.2.1:10809")
        b.write_intent(replace(b.config, exports=fewer))
        b.ask("reload")
        assert [each["address"] for each in b.status()["not_exported"]] == [taken]
    wait_until(lambda: b.status()["not_exported"] == [])
    with socket.create_connection(("127.0.0.1", int(taken.rpartition(":")[2]))) as client:
        assert client.recv(8) == b"NBDMAGIC"
    b.qemu_io("write -P 7 0 1M", "flush")
    assert "export-served" in b.log()


def test_a_start_that_fails_says_what_the_copy_durably_is(sites: Sites) -> None:
    turners = _two_that_have_met(sites)
    b = turners.b
    config = turners.as_primary(b)
    assert config.turn is not None
    image = sites.image("b", "data")
    image.chmod(0o400)  # before the turn
    b.write_intent(config)
    told = _failure(b)
    assert (told["code"], told["role"], told["turn"]) == ("read-only", "secondary", "")
    image.chmod(0o600)
    b.write_intent(replace(config, exports=(ExportIntent(99, unix="/nowhere"),)))  # after it
    told = _failure(b)
    assert (told["code"], told["role"], told["turn"]) == ("usage", "primary", config.turn.id.hex())
    b.write_intent(config)
    b.start()
    assert b.status()["role"] == Role.PRIMARY.value
    assert not (b.directory / "failure.json").exists()
