"""State directories that this version must not touch: newer ones, torn ones, and addresses that are taken."""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from farshore.errors import CODES
from tests.badinput.scene import Expected, Scene
from tests.cluster import Host
from tests.fault.bench import ENGINE, NODE
from tests.fault.still import still
from tests.processes import running

_HEAD = struct.Struct("<8sHHIIIQ")
"""Of a slot, as `docs/formats.md` has it: magic, version, -, payload length, slot length, -, counter."""


@contextmanager
def _engine_down(host: Host, group: str) -> Iterator[Path]:
    """The copy's directory while its engine is dead and nobody starts another."""
    with still(host.processes, [host.pid]):
        host.processes.kill(_hold(host, group))
        yield host.state / "copies" / group / host.name


def _hold(host: Host, group: str) -> int:
    pid = int((host.state / "copies" / group / host.name / "lock").read_text())
    assert pid in running(host.state, ENGINE)
    host.processes.adopt(pid)
    return pid


def _slots(header: bytes) -> tuple[int, int]:
    return 0, len(header) // 2


def _torn(header: bytes, slots: tuple[int, ...]) -> bytes:
    data = bytearray(header)
    for at in slots:
        data[at + 64 : at + 96] = b"torn" * 8
    return bytes(data)


def _newer(header: bytes) -> bytes:
    data = bytearray(header)
    for at in _slots(header):
        length = _HEAD.unpack_from(data, at)[3]
        struct.pack_into("<H", data, at + 8, 99)
        checked = data[at : at + _HEAD.size] + data[at + _HEAD.size + 8 : at + _HEAD.size + 8 + length]
        struct.pack_into("<Q", data, at + _HEAD.size, xxh3_64_intdigest(bytes(checked)))
    return bytes(data)


@pytest.mark.parametrize(
    ("broken", "code", "told"),
    [
        (lambda header: _torn(header, _slots(header)), "state-damaged", "farshore doctor"),
        (_newer, "state-newer", "install the newer Farshore"),
    ],
    ids=["torn", "newer"],
)
def test_a_header_that_cannot_be_used_fails_its_group_alone(
    scene: Scene, broken: Callable[[bytes], bytes], code: str, told: str
) -> None:
    with scene.a.client("spare") as client:
        client.write(0, b"precious")
        client.flush()
    with _engine_down(scene.a, "spare") as directory:
        header = (directory / "header").read_bytes()
        (directory / "header").write_bytes(broken(header))
    shown = scene.a.until("spare", lambda group: told in str(group.next), "spare to say what to do")
    assert (shown.health, shown.writes) == ("failed", "refused")
    assert str(directory / "header") in str(shown.why)
    assert scene.a.json("spare")["code"] == code
    assert scene.a.farshore("check", "spare").returncode == 2
    assert scene.a.group("orders").health == "protected"
    scene.unharmed()
    assert (directory / "header").read_bytes() == broken(header)
    (directory / "header").write_bytes(header)
    scene.a.until("spare", lambda group: group.writes == "flowing", "spare to work again")
    with scene.a.client("spare") as client:
        assert client.read(0, 8) == b"precious"


@pytest.mark.parametrize("slot", [0, 1])
def test_one_torn_slot_of_a_header_costs_nothing(scene: Scene, slot: int) -> None:
    with scene.a.client("spare") as client:
        client.write(4096, b"precious")
        client.flush()
    with _engine_down(scene.a, "spare") as directory:
        header = (directory / "header").read_bytes()
        (directory / "header").write_bytes(_torn(header, (_slots(header)[slot],)))
    scene.a.until("spare", lambda group: group.writes == "flowing", "spare to work again")
    with scene.a.client("spare") as client:
        assert client.read(4096, 8) == b"precious"


def test_a_node_that_cannot_start_says_why_and_changes_nothing(scene: Scene) -> None:
    host = scene.b
    engines = running(host.state, ENGINE)
    host.done("node", "stop")
    for record in ("node.json", "copies/orders/b/copy.json"):
        _start_fails(
            host,
            (host.state / record, lambda text: json.dumps({**json.loads(text), "version": 99})),
            Expected("state-newer", "start the newer Farshore"),
        )
    peers = host.state / "peers.json"
    torn = Expected("state-damaged", f"restore {peers} from a backup")
    _start_fails(host, (peers, lambda text: text[: len(text) // 2]), torn)
    taken = Expected("address-in-use", "choose another address")
    _start_fails(host, (peers, lambda text: text), taken, "--listen", scene.a.listen)
    host.start()
    assert running(host.state, ENGINE) == engines
    scene.cluster.wait("orders")


def _start_fails(
    host: Host, spoilt: tuple[Path, Callable[[str], str]], expected: Expected, *more: str
) -> None:
    """Spoils a record and starts the node; the record stays as it was spoilt, until it is mended here."""
    path, spoil = spoilt
    good = path.read_text()
    path.write_text(spoil(good))
    run = host.farshore("node", "start", "--json", *more)
    error = json.loads(run.stderr)["error"]
    assert (run.stdout, error["code"]) == ("", expected.code), error
    assert run.returncode == CODES[expected.code].exit_code
    assert expected.following in error["next"]
    assert path.read_text() == spoil(good)
    assert not running(host.state, NODE)
    path.write_text(good)


def test_an_export_at_an_address_that_is_taken(scene: Scene) -> None:
    taken = Expected("address-in-use", "farshore export list")
    scene.refused(scene.a, f"export orders --tcp {scene.b.listen}", taken)
    scene.unharmed()
