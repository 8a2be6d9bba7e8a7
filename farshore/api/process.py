"""`python -m farshore.api.process`: one node as a process, its API in front of it.

The composition root. Runs in the foreground; `farshore node start` puts it into a session of its own.
Log lines go to stderr as JSON, or to systemd's journal. A node that cannot start writes its error, one JSON
object, as the last line and exits with the error's code; engines that ran before run on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from farshore.api import log, service
from farshore.api.app import make_app
from farshore.errors import FarshoreError
from farshore.node import daemon
from farshore.node.engine_process import ENGINE_COMMAND
from farshore.node.settings import Said
from farshore.systemd.notify import Notifier

_SHUTDOWN_SECONDS = 2


class _Server(uvicorn.Server):
    """Leaves signals to the node, whose end comes after the API's; tells when the API answers."""

    def __init__(self, config: uvicorn.Config, answers: Callable[[], None]) -> None:
        super().__init__(config)
        self._answers = answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._answers()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(said: Said, engine: Sequence[str] = ENGINE_COMMAND) -> None:
    """Runs a node until it is told to stop. Raises FarshoreError where it cannot start."""
    notifier = Notifier.take(os.environ)
    opened = await daemon.open_node(said, engine)
    node = opened.node
    log.set_level(opened.settings.level)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stopping.set)
    config = uvicorn.Config(
        make_app(node),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = _Server(config, lambda: service.begin(notifier, node))
    daemon.begin(opened)
    serving = loop.create_task(server.serve(sockets=opened.doors))
    stopping = loop.create_task(node.stopping.wait())
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        service.stopping(notifier, node)
        node.journal.end_waits()
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        await daemon.end(opened)


def main(arguments: Sequence[str] | None = None, engine: Sequence[str] = ENGINE_COMMAND) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="farshore.api.process", description="Runs one Farshore node.")
    parser.add_argument("--state", help="state directory")
    parser.add_argument("--api", help="unix:PATH or HOST:PORT on loopback")
    parser.add_argument("--listen", help="HOST:PORT for peers")
    parser.add_argument("--name", help="this node's name")
    given = parser.parse_args(arguments)
    log.begin()
    daemon.raise_file_limit()
    try:
        asyncio.run(serve(Said(given.state, given.api, given.listen, given.name), engine))
    except FarshoreError as error:
        log.last_words(error)
        return error.code.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
