"""Many clients, one batch per turn; nobody's mistakes or slowness are anybody else's.

The server runs on a loop of its own in a thread, with a stand-in for the core that carries batches
out at once or holds them.
"""

import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from farshore.engine.nbd_connection import LARGE, OUTSTANDING
from farshore.engine.nbd_exports import Exported
from farshore.engine.nbd_reads import READ_AHEAD
from farshore.engine.nbd_server import MOST_CLIENTS
from farshore.errors import FarshoreError
from farshore.model.volumes import TRIM, WRITE, ZERO
from farshore.wire.nbd import constants as nbd
from tests.unit.engine import nbd_client as c
from tests.unit.engine.nbd_client import NbdClient
from tests.unit.engine.serving import SIZE, Serving
from tests.waiting import wait_until

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def serving(tmp_path: Path, socket_directory: Path) -> Iterator[Serving]:
    made = Serving(tmp_path, socket_directory)
    yield made
    made.close()


def test_requests_that_arrive_together_are_one_batch(serving: Serving) -> None:
    with serving.client() as client:
        stream = b""
        for number in range(20):
            stream += (
                c._REQUEST.pack(0x25609513, 0, c.WRITE, number, number * 4096, 4096) + bytes([number]) * 4096
            )
        client.sock.sendall(stream)
        assert {client.answer() for _ in range(20)} == {(0, number) for number in range(20)}
        assert client.read(7 * 4096, 4096) == b"\7" * 4096
    assert len(serving.batches) <= 4


@pytest.mark.parametrize("length", [1, 511, 64 * KIB, LARGE - 1, LARGE, LARGE + 1, 5 * MIB, 32 * MIB])
def test_a_write_of_any_length_arrives_however_it_is_cut(serving: Serving, length: int) -> None:
    data = os.urandom(length)
    with serving.client() as client:
        whole = c._REQUEST.pack(0x25609513, 0, c.WRITE, 5, 12345, length) + data
        whole += c._REQUEST.pack(0x25609513, 0, c.WRITE, 6, 0, 3) + b"abc"
        step = max(1, len(whole) // 7)
        for start in range(0, len(whole), step):
            client.sock.sendall(whole[start : start + step])
        assert {client.answer(), client.answer()} == {(0, 5), (0, 6)}
        assert client.read(12345, length) == data
        assert client.read(0, 3) == b"abc"


def test_what_each_command_becomes(serving: Serving) -> None:
    with serving.client() as client:
        assert client.call(c.WRITE, 0, data=b"x", flags=c.FUA) == 0
        assert client.call(c.TRIM, 0, 4096) == 0
        assert client.call(c.WRITE_ZEROES, 4096, 4096) == 0
        assert client.call(c.WRITE_ZEROES, 8192, 4096, flags=c.NO_HOLE | c.FUA) == 0
        assert client.call(c.FLUSH) == 0
        assert client.call(c.CACHE, 0, 4096) == 0
    operations = [operation for batch in serving.batches for operation in batch.operations]
    assert operations == [(1, WRITE, 0, 1), (1, TRIM, 0, 4096), (1, TRIM, 4096, 4096), (1, ZERO, 8192, 4096)]
    assert [bool(batch.durable) for batch in serving.batches] == [True, False, False, True, False]
    assert [len(batch.flushes) for batch in serving.batches] == [0, 0, 0, 0, 1]


def test_a_trim_longer_than_any_write_is_answered_once(serving: Serving) -> None:
    with serving.client() as client:
        assert client.call(c.WRITE, SIZE - 4, data=b"last") == 0
        assert client.call(c.TRIM, 0, SIZE) == 0
        assert client.read(SIZE - 4, 4) == bytes(4)
        assert client.call(c.FLUSH) == 0
    assert [operation[3] for operation in serving.batches[1].operations] == [32 * MIB] * 3


def test_a_part_that_fails_fails_the_whole_request_once(serving: Serving) -> None:
    serving.holding = True
    with serving.client() as client:
        client.send(c.TRIM, 9, 0, SIZE)
        wait_until(lambda: serving.batches)
        tokens = serving.batches[0].tokens
        take = serving.server.answers.take
        serving.on_loop(lambda: (take(tokens[:1], 0), take(tokens[1:2], 28)))  # type: ignore[arg-type]
        serving.on_loop(lambda: take(tokens[2:], 0))  # type: ignore[arg-type]
        assert client.answer() == (nbd.NBD_ENOSPC, 9)
        assert client.read(0, 10) == bytes(10)


@pytest.mark.parametrize(
    ("command", "offset", "length", "flags", "error"),
    [
        (c.READ, SIZE, 1, 0, nbd.NBD_EINVAL),
        (c.READ, 0, 33 * MIB, 0, nbd.NBD_EINVAL),
        (c.TRIM, SIZE - 1, 2, 0, nbd.NBD_ENOSPC),
        (c.WRITE_ZEROES, 0, 4096, c.FAST_ZERO | c.NO_HOLE, nbd.NBD_ENOTSUP),
        (c.BLOCK_STATUS, 0, 4096, 0, nbd.NBD_EINVAL),
        (c.FLUSH, 1, 0, 0, nbd.NBD_EINVAL),
        (99, 0, 0, 0, nbd.NBD_EINVAL),
    ],
)
def test_a_request_that_cannot_be_served_is_answered_and_the_next_one_served(
    serving: Serving, command: int, offset: int, length: int, flags: int, error: int
) -> None:
    with serving.client() as client:
        assert client.call(command, offset, length, flags=flags) == error
        assert client.call(c.WRITE, 0, data=b"fine") == 0


def test_a_write_that_is_too_long_is_passed_over(serving: Serving) -> None:
    with serving.client() as client:
        assert client.call(c.WRITE, 0, data=bytes(64 * MIB)) == nbd.NBD_EINVAL
        assert client.call(c.WRITE, 0, data=b"fine") == 0
    assert len(serving.batches) == 1


def test_a_read_only_export_refuses_writes_and_serves_reads(serving: Serving) -> None:
    with serving.client("ro") as client:
        assert client.flags & nbd.NBD_FLAG_READ_ONLY
        assert client.call(c.WRITE, 0, data=b"no") == nbd.NBD_EPERM
        assert client.read(0, 2) == bytes(2)
    assert serving.batches == []


def test_garbage_ends_its_connection_and_no_other(serving: Serving) -> None:
    with serving.client() as good, serving.client() as bad:
        bad.sock.sendall(b"G" * 28)
        with pytest.raises(ConnectionResetError):
            bad.take(1)
        assert good.call(c.WRITE, 0, data=b"fine") == 0


def test_a_client_that_leaves_in_the_middle_of_a_write_leaves_no_trace(serving: Serving) -> None:
    with serving.client() as client:
        client.sock.sendall(c._REQUEST.pack(0x25609513, 0, c.WRITE, 1, 0, MIB) + bytes(1000))
    wait_until(lambda: not serving.server.clients)
    with serving.client() as client:
        assert client.call(c.WRITE, 0, data=b"fine") == 0
    assert [len(batch.operations) for batch in serving.batches] == [1]


def test_disconnect_is_obeyed_after_what_is_outstanding_was_answered(serving: Serving) -> None:
    serving.holding = True
    with serving.client() as client:
        client.send(c.WRITE, 1, 0, data=b"first")
        client.send(c.DISC, 2)
        wait_until(lambda: serving.batches)
        serving.on_loop(partial(serving.carry_out, serving.batches[0]))
        assert client.answer() == (0, 1)
        with pytest.raises(ConnectionResetError):
            client.take(1)


def test_a_client_that_reads_no_answers_is_bounded_and_stalls_nobody(serving: Serving) -> None:
    with serving.client() as deaf, serving.client() as good:
        deaf.sock.setblocking(False)
        asked = 0
        request = c._REQUEST.pack(0x25609513, 0, c.READ, 1, 0, MIB)

        def ask_until_it_takes_no_more() -> bool:
            nonlocal asked
            try:
                asked += deaf.sock.send(request * 100) // len(request)
            except BlockingIOError:
                return True
            return False

        wait_until(ask_until_it_takes_no_more, interval=0.001)
        assert asked > READ_AHEAD // MIB
        assert good.call(c.WRITE, 0, data=b"fine") == 0
        assert serving.server.outstanding() < READ_AHEAD + 4 * MIB
        deaf.sock.settimeout(20.0)
        for _ in range(50):
            assert deaf.answer()[0] == 0
            deaf.take(MIB)


def test_writes_that_are_held_are_bounded_for_each_client(serving: Serving) -> None:
    serving.holding = True
    request = c._REQUEST.pack(0x25609513, 0, c.WRITE, 1, 0, MIB) + bytes(MIB)
    with serving.client() as client:
        client.sock.settimeout(1.0)
        with pytest.raises(TimeoutError):
            client.sock.sendall(request * 200)
        assert serving.server.outstanding() <= OUTSTANDING + 2 * MIB
        serving.holding = False
        serving.on_loop(lambda: list(map(serving.carry_out, serving.batches)))
        client.sock.settimeout(20.0)
        assert client.answer() == (0, 1)


def test_what_a_dead_client_left_unread_is_taken_before_its_successor_speaks(serving: Serving) -> None:
    """Else its write could land on a newer one that was answered, of a device that was started again say."""
    serving.holding = True
    dead = serving.client()
    dead.sock.setblocking(False)
    small = c._REQUEST.pack(0x25609513, 0, c.WRITE, 1, 0, 4 * KIB) + b"o" * 4 * KIB
    flood = small * 64
    sent = 0

    def full() -> bool:
        nonlocal sent
        try:
            sent += dead.sock.send(flood[sent % len(small) :])
        except BlockingIOError:
            return serving.server.outstanding() > OUTSTANDING
        return False

    wait_until(full, 20.0, interval=0.0)
    dead.sock.close()
    with serving.client() as heir:
        heir.send(c.WRITE, 2, 0, data=b"n" * 4 * KIB)
        wait_until(lambda: any(batch.payloads[-1] == b"n" * 4 * KIB for batch in serving.batches))
    taken = [payload for batch in serving.batches for payload in batch.payloads]
    assert taken.index(b"n" * 4 * KIB) == len(taken) - 1 == sent // len(small)


def test_one_client_too_many_is_turned_away_and_the_others_stay(serving: Serving) -> None:
    clients = [serving.client() for _ in range(MOST_CLIENTS)]
    with pytest.raises(ConnectionResetError):
        serving.client()
    assert clients[0].call(c.WRITE, 0, data=b"fine") == 0
    for client in clients:
        client.sock.close()
    wait_until(lambda: not serving.server.clients)
    serving.client().sock.close()


def test_tcp_listeners_and_what_they_export_come_and_go(serving: Serving) -> None:
    tcp = ("tcp", "127.0.0.1:0")
    offered = {("unix", str(serving.path)): serving.exports(), tcp: serving.exports()[:1]}
    serving.on_loop(lambda: serving.server.offer(offered))
    with NbdClient(serving.server.addresses()[tcp], "") as client:
        assert client.call(c.WRITE, 0, data=b"over tcp") == 0
        serving.on_loop(lambda: serving.server.offer({("unix", str(serving.path)): serving.exports()[1:]}))
        with pytest.raises(ConnectionResetError):
            client.take(1)
    with pytest.raises(ConnectionResetError):
        serving.client("data")


def test_an_export_that_ends_at_one_address_lets_go_of_the_clients_there(serving: Serving) -> None:
    unix, tcp = ("unix", str(serving.path)), ("tcp", "127.0.0.1:0")
    serving.on_loop(lambda: serving.server.offer({unix: serving.exports(), tcp: serving.exports()}))
    with NbdClient(serving.server.addresses()[tcp], "data") as far, serving.client("data") as near:
        assert far.call(c.WRITE, 0, data=b"over tcp") == 0
        serving.on_loop(lambda: serving.server.offer({unix: serving.exports()}))
        with pytest.raises(ConnectionResetError):
            far.take(1)
        assert near.call(c.WRITE, 0, data=b"goes on!") == 0


def _offer(
    serving: Serving, exports: dict[tuple[str, str], list[Exported]], refusals: list[FarshoreError]
) -> None:
    try:
        serving.server.offer(exports)
    except FarshoreError as error:
        refusals.append(error)


def test_a_taken_address_is_refused_and_a_left_over_socket_is_not(
    serving: Serving, socket_directory: Path
) -> None:
    left_over = socket_directory / "left"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left_over))
    usual = {("unix", str(serving.path)): serving.exports()}
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket(socket.AF_UNIX) as live:
        live.bind(str(socket_directory / "live"))
        live.listen()
        for address in (
            ("tcp", f"127.0.0.1:{other.getsockname()[1]}"),
            ("unix", str(socket_directory / "live")),
        ):
            refusals: list[FarshoreError] = []
            serving.on_loop(partial(_offer, serving, {**usual, address: serving.exports()}, refusals))
            assert [each.code.name for each in refusals] == ["address-in-use"]
    serving.on_loop(lambda: serving.server.offer({**usual, ("unix", str(left_over)): serving.exports()}))
    with NbdClient(left_over, "data") as client:
        assert client.call(c.WRITE, 0, data=b"fine") == 0
