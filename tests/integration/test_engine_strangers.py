"""What a peer that proved its key may do wrong: nothing of it is applied, nothing is held for long."""

import socket
from collections.abc import Iterator

import pytest

from farshore.engine.channel import NOTHING, Channel
from farshore.engine.line import Identity, connect
from farshore.engine.opening import Opening
from farshore.engine.reactor import Reactor
from farshore.model.messages import PROTOCOL, Hello, Refusal, SyncNow, Welcome
from farshore.model.options import LinkOptions
from farshore.model.positions import History
from farshore.wire import preface, session
from tests.integration.conftest import Sites
from tests.integration.engines import GROUP, LINK, Engine
from tests.unit.engine.turning import turn_until

MIB = 1 << 20
SIZES = {"data": 8 * MIB}
_PREFACE = preface.encode(preface.Preface(preface.PrefaceKind.LINK, GROUP, LINK))


class _Feeder:
    """Plays the feeder's part up to the open channel, then whatever a test wants."""

    def __init__(self, sites: Sites, address: str) -> None:
        self.reactor = Reactor()
        mine, peer = sites.key("a"), sites.key("b")
        identity = Identity(
            str(mine.certificate), str(mine.key), str(peer.certificate), peer.fingerprint, "plain"
        )
        host, port = address.split(":")
        addresses = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        opened: list[Channel] = []
        steps = connect(addresses, _PREFACE, identity)
        opening = Opening(self.reactor, steps, opened.append, lambda why, _: pytest.fail(why))
        opening.start()
        turn_until(self.reactor, lambda: opened)
        self.channel = opened[0]

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.channel.outbound.append(piece)
        self.channel.flush()

    def say(self, message: Hello | SyncNow) -> None:
        self.send(*[bytes(piece) for piece in session.encode(message)])

    def hear(self) -> tuple[list[object], bool]:
        """The messages that come until the follower is silent or gone; whether it is gone."""
        heard, view, end = bytearray(), memoryview(bytearray(65536)), False

        def quiet() -> bool:
            nonlocal end
            size = self.channel.recv_into(view)
            if size > 0:
                heard.extend(view[:size])
            end = size == 0
            return end or (size == NOTHING and bool(heard))

        turn_until(self.reactor, quiet)
        batch = session.split(heard, 0, len(heard))
        return [session.decode(kind, body) for kind, body in batch.units], end

    def gone(self) -> bool:
        return self.channel.recv_into(memoryview(bytearray(65536))) == 0

    def close(self) -> None:
        self.channel.close()
        self.reactor.close()


@pytest.fixture
def follower(sites: Sites) -> Iterator[tuple[Engine, Sites]]:
    _, made, _ = sites.pair(SIZES, LinkOptions(wire="plain"))
    made.start()
    yield made, sites
    assert made.status()["sequence"] == 0
    assert not any(sites.image("b", "data").read_bytes())


def _hello(**changes: object) -> Hello:
    values: dict[str, object] = {
        "protocol": PROTOCOL,
        "group": GROUP,
        "link": LINK,
        "epoch": 1,
        "copy": b"P" * 16,
        "instance": b"I" * 16,
        "history": History(),
        "region": 32768,
        "volumes": ((1, SIZES["data"]),),
        "peer_copy": None,
        **changes,
    }
    return Hello(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"group": b"?" * 16}, "wrong-feeder"),
        ({"link": b"?" * 16}, "wrong-feeder"),
        ({"epoch": 2}, "wrong-feeder"),
        ({"volumes": ((1, 4 * MIB),)}, "size-mismatch"),
        ({"peer_copy": b"?" * 16}, "identity-changed"),
        ({"protocol": PROTOCOL - 1}, "protocol"),
    ],
)
def test_a_hello_is_checked_inside_the_session(
    follower: tuple[Engine, Sites], change: dict[str, object], code: str | None
) -> None:
    feeder = _Feeder(follower[1], follower[1].doors[0].address)
    feeder.say(_hello(**change))
    (answer,), _ = feeder.hear()
    if code is None:
        assert isinstance(answer, Welcome)
        assert answer.empty
    else:
        assert isinstance(answer, Refusal)
        assert answer.code == code
        turn_until(feeder.reactor, feeder.gone)
    feeder.close()


def test_a_second_feeder_is_refused_while_the_first_lives(follower: tuple[Engine, Sites]) -> None:
    address = follower[1].doors[0].address
    first, second = _Feeder(follower[1], address), _Feeder(follower[1], address)
    first.say(_hello())
    assert isinstance(first.hear()[0][0], Welcome)
    second.say(_hello(instance=b"J" * 16))
    (answer,), _ = second.hear()
    assert isinstance(answer, Refusal)
    assert answer.code == "session-live"
    first.close()
    second.close()


@pytest.mark.parametrize("words", [b"\xff" * 100, b"", b"\x10\0\0\0\0\0\0\0" + bytes(16)])
def test_whoever_does_not_begin_with_a_hello_is_let_go(follower: tuple[Engine, Sites], words: bytes) -> None:
    feeder = _Feeder(follower[1], follower[1].doors[0].address)
    if words:
        feeder.send(words)
    turn_until(feeder.reactor, feeder.gone, timeout=15.0)
    feeder.close()


def test_sockets_that_never_prove_anything_are_let_go_and_do_not_keep_others_out(
    follower: tuple[Engine, Sites],
) -> None:
    engine, sites = follower
    host, port = sites.doors[0].address.split(":")
    mute = [socket.create_connection((host, int(port))) for _ in range(20)]
    for sock in mute:
        sock.sendall(_PREFACE)
    feeder = _Feeder(sites, sites.doors[0].address)
    feeder.say(_hello())
    assert isinstance(feeder.hear()[0][0], Welcome)
    for sock in mute:
        sock.settimeout(20.0)
        assert sock.recv(1) == b""
        sock.close()
    assert engine.listening()
    feeder.close()
