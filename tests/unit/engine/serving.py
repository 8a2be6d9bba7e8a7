"""The NBD server on a loop of its own in a thread, with a stand-in for the core that carries batches out at
once or holds them."""

import threading
from collections.abc import Callable
from pathlib import Path

from farshore.core.write_path import Batch
from farshore.engine.local_writes import carry_out
from farshore.engine.nbd_exports import Exported
from farshore.engine.nbd_server import NbdServer, Surroundings
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.store.claim import create_volume
from tests.unit.engine.nbd_client import NbdClient

SIZE = 96 << 20


class Serving:
    """A server in a thread; everything that touches it runs on its loop, through `on_loop`."""

    def __init__(self, directory: Path, sockets: Path) -> None:
        self.reactor = Reactor()
        self.pool = Pool(self.reactor, "reads", 2)
        self.path = sockets / "nbd"
        self.volume = create_volume(str(directory / "volume"), SIZE)
        self.batches: list[Batch] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.holding = False
        around = Surroundings(self.reactor, self.pool, lambda: None, lambda *event: self.events.append(event))
        self.server = NbdServer(around, self._issue, lambda *_: [(SIZE, False)], lambda: ["far"])
        self.server.offer({("unix", str(self.path)): self.exports()})
        self.reactor.at_turn_end(self._end_turn)
        self._thread = threading.Thread(target=self.reactor.run)
        self._thread.start()

    def exports(self) -> list[Exported]:
        return [
            Exported(1, "data", self.volume, read_only=False),
            Exported(1, "ro", self.volume, read_only=True),
        ]

    def _issue(self, batch: Batch) -> None:
        kept = Batch(
            batch.operations,
            [None if each is None else bytes(each) for each in batch.payloads],
            batch.tokens,
            batch.durable,
            batch.flushes,
        )
        self.batches.append(kept)
        if not self.holding:
            self.carry_out(kept)

    def carry_out(self, batch: Batch, errno: int = 0) -> None:
        """What core and carrier do between them."""
        assert carry_out({1: self.volume}, batch.operations, batch.payloads) == {}
        self.server.answers.take([*batch.tokens, *batch.flushes], errno)  # type: ignore[list-item]

    def _end_turn(self) -> None:
        self.server.end_requests()
        self.server.answers.settle()

    def on_loop(self, call: Callable[[], object]) -> None:
        """Runs `call` on the loop and waits for its end."""
        done = threading.Event()

        def run() -> None:
            call()
            done.set()

        self.reactor.post(run)
        assert done.wait(10.0)

    def client(self, export: str = "data") -> NbdClient:
        return NbdClient(self.path, export)

    def close(self) -> None:
        self.on_loop(self.server.close)
        self.reactor.post(self.reactor.stop)
        self._thread.join(10.0)
        self.pool.close()
        self.reactor.close()
        self.volume.close()
