"""NBD behind TLS: the same server for those who prove themselves, and nothing at all for everybody else."""

import contextlib
import os
import random
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.engine import nbd_connection
from farshore.engine.nbd_connection import LARGE
from farshore.engine.nbd_tls import Certificates
from farshore.errors import FarshoreError
from farshore.model.copy_config import TLS_FILES
from farshore.node import export_certificates
from farshore.node.export_certificates import Issued
from farshore.wire.nbd import constants as nbd
from tests.unit.engine import nbd_client as c
from tests.unit.engine.serving import SIZE, Serving
from tests.waiting import wait_until

KIB, MIB = 1 << 10, 1 << 20
_OPTION = struct.Struct(">QII")


class Door:
    """A server with a TLS address, its certificates, and clients that try them."""

    def __init__(self, serving: Serving, directory: Path) -> None:
        self.serving, self.directory = serving, directory
        self.clients: set[str] = set()
        export_certificates.prepare(directory, "orders", ["127.0.0.1"])
        self.offer()
        ((_, self.port),) = serving.server.addresses().values()

    def offer(self) -> None:
        authority, certificate, key = (str(self.directory / name) for name in TLS_FILES)
        certificates = Certificates(authority, certificate, key, frozenset(self.clients))
        exports = {("tls", "127.0.0.1:0"): self.serving.exports()}
        self.serving.on_loop(lambda: self.serving.server.offer(exports, certificates))

    def issued(self, name: str = "app", *, allowed: bool = True) -> Issued:
        made = export_certificates.issue(self.directory, "orders", name)
        if allowed:
            self.clients.add(made.fingerprint)
            self.offer()
        return made

    def context(self, issued: Issued | None) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(cafile=self.directory / TLS_FILES[0])
        if issued is not None:
            chain = self.directory / "chain.pem"
            chain.write_text(issued.certificate + issued.key)
            made.load_cert_chain(chain)
        return made

    def greeted(self) -> socket.socket:
        """A connection on which the next byte is the client's, its flags being sent."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20.0)
        assert len(_take(sock, 18)) == 18
        sock.sendall(struct.pack(">I", 3))
        return sock

    def started(self) -> socket.socket:
        """Behind the server's agreement to TLS."""
        sock = self.greeted()
        sock.sendall(_option(nbd.NBD_OPT_STARTTLS))
        assert _take(sock, 20)[12:16] == struct.pack(">I", nbd.NBD_REP_ACK)
        return sock

    def client(self, issued: Issued | None, export: str = "data") -> c.NbdClient:
        """Behind TLS, with an export opened; raises OSError."""
        raw = self.started()
        try:
            sock = self.context(issued).wrap_socket(raw, server_hostname="127.0.0.1")
        except OSError:
            raw.close()
            raise
        client = c.NbdClient.__new__(c.NbdClient)
        client.sock = sock
        try:
            sock.sendall(_option(nbd.NBD_OPT_EXPORT_NAME, export.encode()))
            client.size, client.flags = struct.unpack(">QH", client.take(10))
        except OSError:
            sock.close()
            raise
        return client

    @property
    def turned_away(self) -> list[object]:
        return [each["reason"] for kind, each in self.serving.events if kind == "export-client-refused"]


def _option(number: int, data: bytes = b"") -> bytes:
    return _OPTION.pack(0x49484156454F5054, number, len(data)) + data


def _take(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionResetError(f"the end after {len(data)} bytes")
        data += piece
    return data


@pytest.fixture
def door(tmp_path: Path, socket_directory: Path) -> Iterator[Door]:
    serving = Serving(tmp_path, socket_directory)
    try:
        yield Door(serving, tmp_path)
    finally:
        serving.close()


def test_a_client_that_is_allowed_reads_what_it_wrote(door: Door) -> None:
    with door.client(door.issued()) as client:
        assert client.size == SIZE
        assert client.call(c.WRITE, 4095, 9000, b"a" * 9000) == 0
        assert client.call(c.FLUSH) == 0
        assert client.read(4094, 9002) == b"\0" + b"a" * 9000 + b"\0"
    wait_until(lambda: not door.serving.server.clients, what="the client to be gone")


def test_requests_of_any_size_that_come_at_once_are_all_carried_out(door: Door) -> None:
    """Records, the receive buffer and requests end at different places, of which the socket knows nothing."""
    chosen = random.Random(7)
    with door.client(door.issued()) as client:
        shadow = bytearray(24 * MIB)
        sizes = [chosen.choice((1, 512, 4 * KIB, 60 * KIB, LARGE, 3 * MIB)) for _ in range(60)]
        stream = b""
        for number, size in enumerate(sizes):
            at, data = chosen.randrange(len(shadow) - size), chosen.randbytes(size)
            shadow[at : at + size] = data
            stream += c._REQUEST.pack(0x25609513, 0, c.WRITE, number, at, size) + data
        client.sock.sendall(stream)
        assert sorted(client.answer() for _ in sizes) == [(0, number) for number in range(len(sizes))]
        for at in range(0, len(shadow), 8 * MIB):
            assert client.read(at, 8 * MIB) == shadow[at : at + 8 * MIB]


def test_answers_wait_for_a_client_that_does_not_take_them_and_others_are_served(door: Door) -> None:
    issued = door.issued()
    content = os.urandom(8 * MIB)
    with door.client(issued) as slow, door.client(issued) as quick:
        assert quick.call(c.WRITE, 0, len(content), content) == 0
        for number in range(12):
            slow.send(c.READ, number, 0, len(content))
        for at in range(0, len(content), MIB):
            assert quick.read(at, KIB) == content[at : at + KIB]
        assert door.serving.server.outstanding() < 40 * MIB
        for number in range(12):
            assert slow.answer() == (0, number)
            assert slow.take(len(content)) == content


def test_the_last_answers_arrive_before_a_goodbye_is_carried_out(door: Door) -> None:
    content = os.urandom(4 * MIB)
    with door.client(door.issued()) as client:
        assert client.call(c.WRITE, 0, len(content), content) == 0
        client.send(c.READ, 1, 0, len(content))
        client.send(c.DISC, 2)
        assert client.answer() == (0, 1)
        assert client.take(len(content)) == content


def test_a_write_that_is_refused_ends_nothing(door: Door) -> None:
    with door.client(door.issued(), "ro") as client:
        assert client.flags & nbd.NBD_FLAG_READ_ONLY
        assert client.call(c.WRITE, 0, 512, bytes(512)) == nbd.NBD_EPERM
        assert client.call(c.WRITE, 0, MIB, bytes(MIB)) == nbd.NBD_EPERM
        assert client.read(0, 512) == bytes(512)


def _without(door: Door) -> Issued | None:
    return None


def _not_allowed(door: Door) -> Issued:
    return door.issued("other", allowed=False)


def _of_another_group(door: Door) -> Issued:
    """Signed well, by an authority that is not this group's, under the same names."""
    made = export_certificates.issue(door.directory / "elsewhere", "orders", "app")
    door.clients.add(made.fingerprint)  # even one that is listed by mistake
    door.offer()
    return made


@pytest.mark.parametrize("who", [_without, _not_allowed, _of_another_group])
def test_who_does_not_prove_to_be_a_client_sees_no_export(
    who: Callable[[Door], Issued | None], door: Door
) -> None:
    good = door.issued()
    with pytest.raises(OSError):
        door.client(who(door))
    wait_until(lambda: not door.serving.server.clients, what="the stranger to be gone")
    assert len(door.turned_away) == 1
    assert door.serving.batches == []
    with door.client(good) as client:
        assert client.size == SIZE


def test_a_client_that_is_shut_out_loses_its_connections_and_the_others_keep_theirs(door: Door) -> None:
    first, second = door.issued("first"), door.issued("second")
    with door.client(first) as staying, door.client(second) as going:
        assert going.read(0, 512) == bytes(512)
        door.clients.discard(second.fingerprint)
        door.offer()
        with pytest.raises(OSError):
            going.read(0, 512)
        assert staying.read(0, 512) == bytes(512)
        with pytest.raises(OSError):
            door.client(second)


def test_a_client_that_is_shut_out_before_it_has_shown_who_it_is_does_not_get_in(door: Door) -> None:
    issued = door.issued()
    with door.started() as waiting, door.greeted() as slower:
        door.clients.discard(issued.fingerprint)
        door.offer()
        with pytest.raises(OSError):
            door.context(issued).wrap_socket(waiting, server_hostname="127.0.0.1").recv(1)
        with contextlib.suppress(ConnectionResetError):
            assert slower.recv(1) == b""


@pytest.mark.parametrize("injected", [_option(nbd.NBD_OPT_LIST), b"\x16\x03\x01"], ids=["option", "record"])
def test_plaintext_behind_starttls_ends_the_connection(injected: bytes, door: Door) -> None:
    with door.greeted() as sock:
        sock.sendall(_option(nbd.NBD_OPT_STARTTLS) + injected)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1024) == b""


def test_plaintext_in_place_of_a_handshake_ends_the_connection(door: Door) -> None:
    with door.started() as sock:
        sock.sendall(_option(nbd.NBD_OPT_LIST) * 20)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(4096):
                said += piece
        assert b"data" not in said
    wait_until(lambda: door.turned_away, what="the failure to be told")


def test_a_client_in_the_clear_is_told_that_tls_is_required(door: Door) -> None:
    with door.greeted() as sock:
        sock.sendall(_option(nbd.NBD_OPT_LIST))
        head = _take(sock, 20)
        assert head[12:16] == struct.pack(">I", nbd.NBD_REP_ERR_TLS_REQD)
        _take(sock, int.from_bytes(head[16:20], "big"))
        sock.sendall(_option(nbd.NBD_OPT_EXPORT_NAME, b"data"))
        assert sock.recv(100) == b""


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half-a-record"])
def test_who_begins_tls_and_falls_silent_is_let_go_and_disturbs_nobody(
    begun: bytes, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = door.issued()
    with door.client(issued) as client:
        monkeypatch.setattr(nbd_connection, "NEGOTIATION_LIMIT", 0.5)
        with door.started() as sock:
            sock.sendall(begun)
            assert client.read(0, 512) == bytes(512)
            assert sock.recv(100) == b""
        assert client.read(0, 512) == bytes(512)


class Offering:
    """Offers everything again, at two addresses and TLS; what it was told of TLS each time."""

    def __init__(self, serving: Serving, directory: Path) -> None:
        self.serving, self.directory = serving, directory
        self.told: list[FarshoreError | None] = []

    def __call__(self, *clients: str) -> FarshoreError | None:
        authority, certificate, key = (str(self.directory / name) for name in TLS_FILES)
        certificates = Certificates(authority, certificate, key, frozenset(clients))
        addresses = (("tls", "127.0.0.1:0"), ("tcp", "127.0.0.1:0"), ("unix", str(self.serving.path)))
        exports = {address: self.serving.exports() for address in addresses}
        self.serving.on_loop(lambda: self.told.append(self.serving.server.offer(exports, certificates)))
        return self.told[-1]


def test_damaged_certificates_close_no_address_that_is_open_and_take_back_clients_all_the_same(
    door: Door,
) -> None:
    stays, goes = door.issued("stays"), door.issued("goes")
    with door.client(stays) as there, door.client(goes) as gone:
        (door.directory / TLS_FILES[1]).write_text("no certificate")
        refused = Offering(door.serving, door.directory)(stays.fingerprint)
        assert refused is not None
        assert refused.code.name == "state-damaged"
        assert there.call(nbd.NBD_CMD_WRITE, 0, 512, b"x" * 512) == 0
        with pytest.raises(OSError):
            gone.read(0, 512)
    with pytest.raises(OSError):
        door.client(goes)
    with door.client(stays) as another:
        assert another.read(0, 512) == b"x" * 512
    kinds = [kind for kind, _ in door.serving.events if kind.startswith("tls")]
    assert kinds == ["tls-exports-refused"]


def test_damaged_certificates_keep_tls_addresses_from_being_opened_and_nothing_else(
    tmp_path: Path, socket_directory: Path
) -> None:
    export_certificates.prepare(tmp_path, "orders", ["127.0.0.1"])
    key = tmp_path / TLS_FILES[2]
    good = key.read_text()
    key.write_text("no key")
    serving = Serving(tmp_path, socket_directory)
    try:
        offer = Offering(serving, tmp_path)
        for _ in range(2):
            refused = offer()
            assert refused is not None
            assert (refused.code.name, str(key) in refused.next_step) == ("state-damaged", True)
            assert [kind for kind, _ in serving.server.addresses()] == ["tcp"]
        key.write_text(good)
        assert offer() is None
        assert {kind for kind, _ in serving.server.addresses()} == {"tcp", "tls"}
        assert [kind for kind, _ in serving.events] == ["tls-exports-refused", "tls-exports-served"]
    finally:
        serving.close()
