"""One request, one answer: whole, in time, and from a node; anything else is said to be what it is."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.client import transport
from tests.replay import Replay


@pytest.fixture
def answering(socket_directory: Path) -> Iterator[Callable[[bytes], str]]:
    """Serves one connection with raw bytes and closes it."""
    threads: list[threading.Thread] = []

    def start(answer: bytes, address: tuple[str, int] | None = None) -> str:
        if address is None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(socket_directory / "raw.sock"))
            listener.listen(1)
        else:
            listener = socket.create_server(address)

        def serve() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return (
            f"unix:{socket_directory}/raw.sock"
            if address is None
            else ":".join(str(part) for part in listener.getsockname()[:2])
        )

    yield start
    for thread in threads:
        thread.join(5)


def test_a_request_and_its_answer_pass_unchanged(socket_directory: Path) -> None:
    with Replay(socket_directory / "api.sock") as node:
        node.on("POST", "/v1/groups", {"ok": "ü"}, status=201)
        status, body = transport.request(node.address, "POST", "/v1/groups?x=1", b'{"name": "\xc3\xbc"}')
        assert (status, body) == (201, b'{"ok": "\\u00fc"}')
        assert (node.asked[0].target, node.asked[0].body) == ("/v1/groups?x=1", {"name": "ü"})


def test_a_path_without_its_scheme_is_a_socket_too(socket_directory: Path) -> None:
    with Replay(socket_directory / "api.sock") as node:
        node.on("GET", "/v1/node", {})
        assert transport.request(str(node.path), "GET", "/v1/node") == (200, b"{}")


def test_a_node_can_be_reached_over_tcp(answering: Callable[..., str]) -> None:
    address = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", ("127.0.0.1", 0))
    assert transport.request(address, "GET", "/v1/node") == (200, b"{}")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionResetError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", ConnectionResetError),
        (b"220 mail.example ESMTP\r\n\r\n", ValueError),
        (b"HTTP/1.1 200 OK\r\n", ValueError),
        (b"HTTP/1.1 fine\r\n\r\n", ValueError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", ValueError),
    ],
)
def test_a_broken_or_strange_answer_is_no_answer(
    answering: Callable[[bytes], str], answer: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        transport.request(answering(answer), "GET", "/v1/node")


def test_a_node_that_says_nothing_is_not_waited_for_for_ever(socket_directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(socket_directory / "silent.sock"))
        silent.listen(1)
        with pytest.raises(TimeoutError):
            transport.request(f"unix:{socket_directory}/silent.sock", "GET", "/", timeout=0.05)


def test_a_socket_that_is_not_there_is_an_operating_systems_error(socket_directory: Path) -> None:
    with pytest.raises(FileNotFoundError):
        transport.request(f"unix:{socket_directory}/none.sock", "GET", "/")


@pytest.mark.parametrize("address", ["", "host", "host:", "host:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="API address"):
        transport.request(address, "GET", "/")


def test_names_are_quoted_and_what_is_not_said_is_left_out() -> None:
    assert transport.quoted("a/b ü?") == "a%2Fb%20%C3%BC%3F"
    assert transport.target("/v1/status", {"group": None}) == "/v1/status"
    assert (
        transport.target("/v1/exports", {"group": "a&b", "tcp": None, "n": 0})
        == "/v1/exports?group=a%26b&n=0"
    )
