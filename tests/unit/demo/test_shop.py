"""The demo's application: what it was told is safe can be read back from the volume."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.demo import shop
from farshore.demo.nbd_client import NbdClient
from farshore.demo.shop import Shop
from tests.processes import Processes
from tests.requires import program, requires
from tests.waiting import until_listening, wait_until

pytestmark = requires("nbdkit")


_BLOCK = 2048
"""Less than a page, so that pages are torn as well."""


def _recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bytes]]:
    """What the application writes from now on, in order."""
    written: list[tuple[int, bytes]] = []
    write_all = NbdClient.write_all

    def recording(client: NbdClient, pieces: list[tuple[int, bytes]]) -> None:
        written.extend(pieces)
        write_all(client, pieces)

    monkeypatch.setattr(NbdClient, "write_all", recording)
    return written


class _Server:
    """nbdkit on a file, which can be killed and started again."""

    def __init__(self, processes: Processes, socket: Path, image: Path) -> None:
        self.uri = f"nbd+unix:///?socket={socket}"
        self._processes = processes
        self._socket = socket
        self._image = image
        self.start()

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        command: list[str | Path] = [
            program("nbdkit"),
            "--foreground",
            "--unix",
            self._socket,
            "file",
            self._image,
        ]
        self.pid = self._processes.start(command).pid
        until_listening(self._socket)

    def kill(self) -> None:
        self._processes.kill(self.pid)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = tmp_path / "volume.img"
    with image.open("wb") as file:
        file.truncate(shop.VOLUME_SIZE)
    return image


@pytest.fixture
def server(processes: Processes, socket_directory: Path, image: Path) -> _Server:
    return _Server(processes, socket_directory / "nbd.sock", image)


@pytest.fixture
def application(server: _Server, tmp_path: Path) -> Iterator[Shop]:
    application = Shop(tmp_path, server.uri)
    yield application
    application.close()


def test_every_acknowledged_order_can_be_read_from_the_volume(
    application: Shop, image: Path, tmp_path: Path
) -> None:
    application.open()
    wait_until(lambda: application.sales.sold >= 50)
    application.rest()
    rescued = shop.contents(shop.read_database(image, tmp_path / "rescued"))
    assert rescued == shop.contents(application.database)
    assert rescued[0] == "ok"
    assert len(rescued[1]) == application.sales.sold == len(application.sales.waits)


def test_the_application_outlives_its_volumes_server(
    application: Shop, server: _Server, image: Path, tmp_path: Path
) -> None:
    application.open()
    wait_until(lambda: application.sales.sold >= 20)
    server.kill()
    server.start()
    sold = application.sales.sold
    wait_until(lambda: application.sales.sold >= sold + 20)
    application.rest()
    assert application.sales.reconnects >= 1
    assert len(shop.contents(shop.read_database(image, tmp_path / "rescued"))[1]) == application.sales.sold


def test_a_copy_of_any_moment_holds_whole_orders(
    application: Shop, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block that an order writes is one after which a drill, a snapshot or a kill may cut."""
    application.open()
    wait_until(lambda: application.sales.sold >= 20)
    application.rest()
    moment = tmp_path / "moment.img"
    shutil.copyfile(image, moment)
    before, written = application.sales.sold, _recorded(monkeypatch)
    application.open()
    wait_until(lambda: application.sales.sold >= before + 3)
    application.rest()
    blocks = [
        (offset + at, data[at : at + _BLOCK])
        for offset, data in written
        for at in range(0, len(data), _BLOCK)
        if offset + at < shop.DATABASE_END
    ]
    held = []
    with moment.open("r+b") as file:
        for offset, block in blocks:
            file.seek(offset)
            file.write(block)
            file.flush()
            integrity, orders, stock = shop.contents(shop.read_database(moment, tmp_path / "found"))
            assert (integrity, sum(sold for _, sold in stock)) == ("ok", len(orders))  # type: ignore[misc]
            held.append(len(orders))
    assert held == sorted(held)
    assert set(held) == set(range(before, application.sales.sold + 1))


def test_a_tree_comes_back_file_by_file(application: Shop, image: Path, tmp_path: Path) -> None:
    application.rest()
    made = shop.make_tree(tmp_path / "papers", seed=1, files=40, largest=20_000)
    application.put(shop.TREE_AT, shop.packed(tmp_path / "papers"))
    assert shop.read_tree(image) == made
    with image.open("r+b") as file:
        file.seek(shop.TREE_AT + 100_000)
        file.write(b"damage" * 500)
    assert shop.read_tree(image) != made


def test_an_image_without_a_database_is_not_taken_for_an_empty_one(image: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="database"):
        shop.read_database(image, tmp_path / "rescued")
