"""A layer reads as its moment on any number of threads, while regions are saved and overwritten, and while
layers that began later come and go."""

import errno
import random
import threading
from pathlib import Path

import pytest

from tests.unit.store.test_preserve import REGION, Scene, layer

_ROUNDS = 120


class _Readers:
    """Threads that read the oldest layer region by region until they are told to stop."""

    def __init__(self, scene: Scene, expected: dict[int, bytearray]) -> None:
        self._scene = scene
        self._expected = expected
        self._stop = threading.Event()
        self.wrong: list[str] = []
        self.read = 0
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(3)]
        for each in self._threads:
            each.start()

    def _run(self, seed: int) -> None:
        chosen = random.Random(seed)
        while not self._stop.is_set():
            region = chosen.randrange(21)
            try:
                found = self._scene.store.read(layer(1).id, 1, region, self._scene.live)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
                self.wrong.append(repr(error))
                return
            if found != self._expected[1][region * REGION : (region + 1) * REGION]:
                self.wrong.append(f"region {region}")
                return
            self.read += 1

    def end(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(20)


def test_readers_of_an_old_layer_are_not_disturbed_by_saves_or_by_layers_that_come_and_go(
    tmp_path: Path,
) -> None:
    scene, chosen = Scene(tmp_path), random.Random(7)
    expected = scene.copy()
    scene.store.begin(layer(1), 0)
    readers = _Readers(scene, expected)
    try:
        for number in range(_ROUNDS):
            later = layer(2 + number % 200)
            scene.store.begin(later, 0)
            for _ in range(4):
                first = chosen.randrange(20)
                scene.write(1, first, first + 1, chosen.randrange(256))
            while not scene.store.hand_down(later.id):
                pass
            scene.store.drop(later.id)
            if readers.wrong:
                break
    finally:
        readers.end()
    assert not readers.wrong
    assert readers.read > _ROUNDS


def test_a_layer_that_is_gone_is_an_error_of_its_own(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.store.begin(layer(1), 0)
    scene.store.drop(layer(1).id)
    with pytest.raises(OSError, match="gone") as gone:
        scene.store.read(layer(1).id, 1, 0, scene.live)
    assert gone.value.errno == errno.ESTALE


def test_the_file_of_a_dropped_layer_is_closed_once_nobody_reads_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    before = _open_files()
    for number in range(1, 6):
        scene.store.begin(layer(number), 0)
        scene.write(1, 0, 1, number)
        scene.store.drop(layer(number).id)
    assert _open_files() == before


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
