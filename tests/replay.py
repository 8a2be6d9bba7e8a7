"""A node's API on a Unix socket that answers with documents of the contract, and notes what it was asked.

For tests of the command line and the client alone. Real nodes answer in the integration tests.
"""

import contextlib
import json
import socketserver
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    body: Any


@dataclass
class Replay:
    """Answers by (method, path without query): the next of the given answers, the last one for ever."""

    path: Path
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._answers: dict[tuple[str, str], deque[tuple[int, Any]]] = {}
        self._server = _Server(str(self.path), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What --api takes."""
        return f"unix:{self.path}"

    def on(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Sets the answers to a request; each is a JSON document, or bytes to send as they are."""
        self._answers[method, path] = deque((status, answer) for answer in answers)

    def refuse(self, method: str, path: str, status: int, **problem: str) -> None:
        """Answers with a problem document."""
        self.on(method, path, {"title": "refused", "status": status, **problem}, status=status)

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """The next answer to this request."""
        self.asked.append(asked)
        waiting = self._answers.get((asked.method, asked.target.partition("?")[0]))
        if waiting is None:
            return 404, {"status": 404, "code": "not-found", "detail": f"no {asked.target} here"}
        return waiting.popleft() if len(waiting) > 1 else waiting[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 16


def _handler(replay: Replay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = replay.answer(Asked(self.command, self.path, body))
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            with contextlib.suppress(BrokenPipeError):  # who asked may not wait any more
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of http.server
            """A test's output is its own."""

    return Handler


def link(**changes: Any) -> dict[str, Any]:
    """A link of the status document, replicating."""
    return {
        "name": "b",
        "peer": "site-b",
        "mode": "sync",
        "wire": "tls",
        "state": "replicating",
        "reason": "in-order",
        "since": "2026-11-22T18:00:00.000Z",
        "direction": "forward",
        "progress": None,
        "eta_seconds": None,
        "lag_seconds": 0.0,
        "lag_bytes": 0,
        "dirty_bytes": 0,
        "queue": {"memory_bytes": 0, "memory_limit": 64 << 20, "disk_bytes": None, "disk_limit": None},
        "sequence": {"sent": 7, "received": 7, "applied": 7, "durable": 7},
        "sent_bytes_total": 4096,
        "resent_bytes_total": 0,
        "peer_usable": True,
        "peer_usable_as_of": "2026-11-22T18:10:00.000Z",
        "peer_usable_why": None,
        "rtt_seconds": 0.0003,
        **changes,
    }


def group(**changes: Any) -> dict[str, Any]:
    """A group of the status document, protected."""
    return {
        "name": "orders",
        "id": "00112233445566778899aabbccddeeff",
        "role": "primary",
        "health": "protected",
        "writes": "flowing",
        "since": "2026-11-22T18:00:00.000Z",
        "why": "every link replicates",
        "next": "",
        "generation": "0f" * 16,
        "sequence": 7,
        "volumes": [
            {
                "name": "data",
                "path": "/srv/data.img",
                "size": 1 << 30,
                "uri": "nbd+unix:///data?socket=/run/farshore/a/orders.nbd",
            }
        ],
        "links": [link()],
        **changes,
    }


def status(*groups: dict[str, Any]) -> dict[str, Any]:
    """A status document; of one protected group when none is given."""
    return {"schema": 1, "node": {"name": "site-a", "id": "ab" * 32}, "groups": list(groups or (group(),))}
