"""Two ends become a channel only if each is the one that the other pinned, and they agree on the wire."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.engine import line
from farshore.engine.channel import END, NOTHING, Channel, mark
from farshore.engine.line import Address, Identity, Manner, Steps, accept, connect
from farshore.engine.opening import Opening
from farshore.engine.packing import UnpackingChannel
from farshore.engine.reactor import Reactor
from farshore.errors import CODES
from farshore.wire import preface
from farshore.wire.compression import Codecs
from tests.unit.engine.keys import Key, make_key
from tests.unit.engine.turning import turn_until

_PREFACE = b"P" * 64


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key, Key]:
    directory = tmp_path_factory.mktemp("keys")
    return make_key(directory, "feeder"), make_key(directory, "follower"), make_key(directory, "stranger")


def _identity(mine: Key, peer: Key, wire: str) -> Identity:
    return Identity(str(mine.certificate), str(mine.key), str(peer.certificate), peer.fingerprint, wire)


def _addresses(listener: socket.socket) -> Sequence[Address]:
    host, port = listener.getsockname()
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class _Ends:
    """Both ends being opened over loopback; what became of each."""

    def __init__(
        self, reactor: Reactor, feeder: Identity, follower: Identity, manner: Manner | None = None
    ) -> None:
        self.reactor = reactor
        self.feeder = feeder
        self.follower = follower
        self.channels: dict[str, Channel] = {}
        self.failures: dict[str, str] = {}
        self.remedies: dict[str, str] = {}
        self._adopted: Opening | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        reactor.add(self._listener.fileno(), self._incoming)
        self.preface = b""
        addresses = _addresses(self._listener)
        self.dialling = self._opening("feeder", connect(addresses, _PREFACE, feeder, manner or Manner()))
        self.dialling.start()

    def _opening(self, end: str, steps: Steps) -> Opening:
        return Opening(
            self.reactor,
            steps,
            lambda channel: self.channels.update({end: channel}),
            lambda why, then: self.failed(end, why, then),
            limit=5.0,
        )

    def _incoming(self, _ready: int) -> None:
        sock, _ = self._listener.accept()
        self.reactor.add(sock.fileno(), lambda _ready: self._introduced(sock))

    def _introduced(self, sock: socket.socket) -> None:
        self.reactor.remove(sock.fileno())
        self.preface = sock.recv(64, socket.MSG_WAITALL)  # the node's part
        self._adopted = self._opening("follower", accept(sock, self.follower))
        self._adopted.start()

    def failed(self, end: str, why: str, then: str) -> None:
        self.failures[end], self.remedies[end] = why, then

    def settle(self) -> None:
        turn_until(self.reactor, lambda: len(self.channels) + len(self.failures) == 2)

    def close(self) -> None:
        self.reactor.remove(self._listener.fileno())
        self._listener.close()
        for channel in self.channels.values():
            channel.close()


_Open = Callable[..., _Ends]


@pytest.fixture
def open_ends(reactor: Reactor) -> Iterator[_Open]:
    made: list[_Ends] = []

    def make(feeder: Identity, follower: Identity, manner: Manner | None = None) -> _Ends:
        ends = _Ends(reactor, feeder, follower, manner)
        made.append(ends)
        ends.settle()
        return ends

    yield make
    for ends in made:
        ends.close()


def _carry(reactor: Reactor, sender: Channel, receiver: Channel, data: bytes) -> bytes:
    """Moves `data` from one channel to the other with a small buffer and returns what arrived."""
    arrived = bytearray()
    view = memoryview(bytearray(100_000))
    sender.outbound.append_frame(data[:8], data[8:])

    def step() -> bool:
        sender.flush()
        while (size := receiver.recv_into(view)) > 0:
            arrived.extend(view[:size])
        assert size == NOTHING
        return len(arrived) == len(data)

    turn_until(reactor, step)
    return bytes(arrived)


@pytest.mark.parametrize("wire", ["tls", "plain"])
def test_bytes_pass_in_both_directions(
    reactor: Reactor, open_ends: _Open, keys: tuple[Key, Key, Key], wire: str
) -> None:
    feeder, follower, _ = keys
    ends = open_ends(_identity(feeder, follower, wire), _identity(follower, feeder, wire))
    assert ends.failures == {}
    assert ends.preface == _PREFACE
    here, there = ends.channels["feeder"], ends.channels["follower"]
    assert here.wire == there.wire == wire
    data = os.urandom(5 << 20)
    assert _carry(reactor, here, there, data) == data
    assert _carry(reactor, there, here, data[::-1]) == data[::-1]
    assert here.sent_total >= len(data)
    assert there.received_total == here.sent_total
    assert (here.sent_total > len(data)) == (wire == "tls")


@pytest.mark.parametrize("wire", ["tls", "plain"])
def test_an_end_that_closes_is_seen_at_the_other(
    reactor: Reactor, open_ends: _Open, keys: tuple[Key, Key, Key], wire: str
) -> None:
    feeder, follower, _ = keys
    ends = open_ends(_identity(feeder, follower, wire), _identity(follower, feeder, wire))
    ends.channels["feeder"].close()
    view = memoryview(bytearray(100))
    turn_until(reactor, lambda: ends.channels["follower"].recv_into(view) == END)


def test_plain_bytes_are_in_the_clear_and_tls_ones_are_not(
    reactor: Reactor, open_ends: _Open, keys: tuple[Key, Key, Key]
) -> None:
    feeder, follower, _ = keys
    seen: dict[str, bytes] = {}
    for wire in ("plain", "tls"):
        ends = open_ends(_identity(feeder, follower, wire), _identity(follower, feeder, wire))
        ends.channels["feeder"].outbound.append(b"a secret of the application")
        ends.channels["feeder"].flush()
        raw = socket.socket(fileno=os.dup(ends.channels["follower"].fileno()))
        with raw:
            raw.setblocking(True)
            seen[wire] = raw.recv(1000, socket.MSG_PEEK)
    assert b"secret" in seen["plain"]
    assert b"secret" not in seen["tls"]


@pytest.mark.parametrize("wire", ["tls", "plain"])
@pytest.mark.parametrize("impostor", ["feeder", "follower"])
def test_a_stranger_at_either_end_is_refused(
    open_ends: _Open, keys: tuple[Key, Key, Key], wire: str, impostor: str
) -> None:
    feeder, follower, stranger = keys
    ends = open_ends(
        _identity(stranger if impostor == "feeder" else feeder, follower, wire),
        _identity(stranger if impostor == "follower" else follower, feeder, wire),
    )
    assert ends.channels == {}
    deceived = "follower" if impostor == "feeder" else "feeder"
    assert "pinned" in ends.failures[deceived]
    assert "farshore node join" in ends.remedies[deceived]
    assert ends.dialling.refused == "unknown-peer", "only a pairing ends that, whichever key is a new one"
    if impostor == "feeder":  # it learns that its key is not known any more, and what helps
        assert "farshore node join" in ends.remedies["feeder"]


def test_a_certificate_that_is_trusted_but_has_another_fingerprint_is_refused(
    open_ends: _Open, keys: tuple[Key, Key, Key]
) -> None:
    feeder, follower, stranger = keys
    wrong = replace(_identity(feeder, follower, "tls"), peer=stranger.fingerprint)
    ends = open_ends(wrong, _identity(follower, feeder, "tls"))
    assert "pinned" in ends.failures["feeder"]
    assert "feeder" not in ends.channels


@pytest.mark.parametrize("wire", ["tls", "plain"])
def test_ends_that_disagree_about_the_wire_part(
    open_ends: _Open, keys: tuple[Key, Key, Key], wire: str
) -> None:
    feeder, follower, _ = keys
    other = "plain" if wire == "tls" else "tls"
    ends = open_ends(_identity(feeder, follower, wire), _identity(follower, feeder, other))
    assert ends.channels == {}
    assert f"set to {wire}" in ends.failures["feeder"]


def test_a_peer_without_a_certificate_on_file_is_named(
    reactor: Reactor, keys: tuple[Key, Key, Key], tmp_path: Path
) -> None:
    feeder, follower, _ = keys
    missing = replace(_identity(feeder, follower, "tls"), peer_certificate=str(tmp_path / "none.pem"))
    failures: list[str] = []
    opening = Opening(
        reactor, connect([], _PREFACE, missing), lambda _channel: None, lambda why, _: failures.append(why)
    )
    opening.start()
    assert failures == [f"no certificate of the peer {follower.fingerprint[:16]} is on file here"]


def test_the_next_address_is_tried_when_one_refuses(
    reactor: Reactor, open_ends: _Open, keys: tuple[Key, Key, Key]
) -> None:
    feeder, follower, _ = keys
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = _addresses(closed)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = _addresses(listening)
        failures: list[str] = []
        steps = connect([*refusing, *answering], _PREFACE, _identity(feeder, follower, "tls"))
        opening = Opening(reactor, steps, lambda _channel: None, lambda why, _: failures.append(why))
        opening.start()
        for _ in range(20):
            reactor.turn(0.01)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(64, socket.MSG_WAITALL) == _PREFACE
        turn_until(reactor, lambda: failures)
        assert "closed" in failures[0] or "reset" in failures[0]


@pytest.mark.parametrize(
    "code", ["not-found", "state-damaged", "unknown-peer", "unreachable", "size-mismatch", "not-known-here"]
)
@pytest.mark.parametrize("pieces", [1, 32])
def test_a_node_that_refuses_the_link_is_understood(
    reactor: Reactor, keys: tuple[Key, Key, Key], code: str, pieces: int
) -> None:
    feeder, follower, _ = keys
    answer = preface.encode_refusal(code)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        failures: list[tuple[str, str]] = []
        steps = connect(_addresses(listening), _PREFACE, _identity(feeder, follower, "tls"))
        opening = Opening(
            reactor, steps, lambda _channel: None, lambda why, then: failures.append((why, then))
        )
        opening.start()
        for _ in range(5):
            reactor.turn(0.01)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(64, socket.MSG_WAITALL) == _PREFACE
            for at in range(0, len(answer), len(answer) // pieces):
                accepted.sendall(answer[at : at + len(answer) // pieces])
                reactor.turn(0.01)
            turn_until(reactor, lambda: failures)
    why, then = failures[0]
    assert opening.refused == (code if code in CODES else "internal")
    assert "peer" in why
    assert "farshore" in then
    if code not in ("not-found", "unknown-peer", "unreachable"):
        assert code in why
    if code in ("not-found", "state-damaged"):
        assert "says, unproved" in why
        assert then.startswith("farshore status at the peer"), "nothing is deleted before somebody has looked"


def test_a_peer_that_says_nothing_costs_no_more_than_the_limit(
    reactor: Reactor, keys: tuple[Key, Key, Key]
) -> None:
    feeder, follower, _ = keys
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addresses = _addresses(silent)
        failures: list[str] = []
        steps = connect(addresses, _PREFACE, _identity(feeder, follower, "tls"))
        opening = Opening(
            reactor, steps, lambda _channel: None, lambda why, _: failures.append(why), limit=0.1
        )
        opening.start()
        turn_until(reactor, lambda: failures)
    assert "no answer" in failures[0]
    assert opening.refused == "", "it has refused nothing"


def test_someone_who_takes_over_in_the_clear_without_the_token_is_refused(
    reactor: Reactor, keys: tuple[Key, Key, Key]
) -> None:
    """The other end proves its key, closes TLS, and then somebody else speaks."""
    feeder, follower, _ = keys
    with socket.create_server(("127.0.0.1", 0)) as server:
        addresses = _addresses(server)

        def take_over() -> None:
            identity = _identity(follower, feeder, "plain")
            raw, _ = server.accept()
            with raw:
                raw.recv(64, socket.MSG_WAITALL)
                secured = line.context(identity, server=True).wrap_socket(raw, server_side=True)
                theirs = secured.recv(40)
                secured.sendall(theirs[:8] + bytes(32))
                plain = secured.unwrap()
                plain.sendall(b"?" * 32 + b"not from the peer")
                plain.recv(1000)
                plain.close()

        thread = threading.Thread(target=take_over)
        thread.start()
        failures: list[str] = []
        channels: list[Channel] = []
        steps = connect(addresses, _PREFACE, _identity(feeder, follower, "plain"))
        opening = Opening(reactor, steps, channels.append, lambda why, _: failures.append(why))
        opening.start()
        turn_until(reactor, lambda: failures or channels)
        thread.join()
    assert channels == []
    assert "not the peer" in failures[0]


@pytest.mark.parametrize("wire", ["tls", "plain"])
def test_both_ends_know_whether_the_feeder_packs(
    open_ends: _Open, keys: tuple[Key, Key, Key], wire: str
) -> None:
    feeder, follower, _ = keys
    identities = _identity(feeder, follower, wire), _identity(follower, feeder, wire)
    for compress in ("zstd", "none"):
        ends = open_ends(*identities, Manner(compress))
        assert ends.channels["feeder"].packs == (compress == "zstd")  # type: ignore[attr-defined]
        assert isinstance(ends.channels["follower"], UnpackingChannel) == (compress == "zstd")


@pytest.mark.parametrize("lacking", ["feeder", "follower"])
def test_an_end_without_the_codec_is_spoken_to_without_it(
    open_ends: _Open, keys: tuple[Key, Key, Key], lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeder, follower, _ = keys
    # The feeder asks first: both greet once the handshake is over, the connecting end is done with it first.
    answers = iter([Codecs.NONE, Codecs.ZSTD] if lacking == "feeder" else [Codecs.ZSTD, Codecs.NONE])
    monkeypatch.setattr(line, "available", lambda: next(answers))
    ends = open_ends(_identity(feeder, follower, "tls"), _identity(follower, feeder, "tls"), Manner("zstd"))
    assert not ends.channels["feeder"].packs  # type: ignore[attr-defined]
    assert not isinstance(ends.channels["follower"], UnpackingChannel)


def test_the_feeders_traffic_class_holds_in_both_directions(
    open_ends: _Open, keys: tuple[Key, Key, Key]
) -> None:
    feeder, follower, _ = keys
    identities = _identity(feeder, follower, "tls"), _identity(follower, feeder, "tls")
    for dscp in (0, 18):
        for channel in open_ends(*identities, Manner(dscp=dscp)).channels.values():
            with socket.socket(fileno=os.dup(channel.fileno())) as seen:
                assert seen.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) >> 2 == dscp


def test_an_ipv6_packet_carries_the_class_too() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        mark(sock, 46)
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) >> 2 == 46
