"""An ordinary user attaches a volume as a file; deaths below it go as unnoticed as under root's devices."""

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.store.mounts import mounts
from tests.attached.block_writer import BLOCK
from tests.attached.namespace import may_make_namespaces, user_without_links
from tests.attached.torment import torment
from tests.cluster import Host
from tests.processes import Processes
from tests.requires import requires, requires_fuse
from tests.waiting import wait_until

pytestmark = [
    requires("fusermount3"),
    requires_fuse(),
    pytest.mark.skipif(not may_make_namespaces(), reason="needs root, and that root may make namespaces"),
]

SEED = 20261125


@pytest.fixture
def user(processes: Processes) -> Iterator[Host]:
    """A node of an ordinary user, without any link."""
    with user_without_links(processes) as host:
        host.start()
        yield host


class _Program:
    """`block_writer` on a file, as the user."""

    def __init__(self, host: Host, path: str) -> None:
        script = Path(__file__).with_name("block_writer.py")
        command = [*host.prefix, sys.executable, str(script), path]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        host.processes.adopt(self._process.pid)
        self.said = 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said = int(line)

    def end(self) -> int:
        """How many blocks were wrong, or why it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(60)
        self._listener.join(10)
        self._process.stdout.close()
        return code


@pytest.mark.timeout(120)
def test_a_program_of_an_ordinary_user_notices_no_death_below_it(user: Host) -> None:
    volume = user.directory / "volume.img"
    user.done("group", "create", "notes", "--volume", f"data={volume},size={BLOCK * 512}")
    (made,) = user.done("device", "attach", "notes", "--json", "--at", str(user.directory / "disk"))[
        "devices"
    ]
    user.hold()
    assert (made["way"], made["path"]) == ("file", made["file"])
    program = _Program(user, str(user.directory / "disk"))
    torment(user, "notes", random.Random(SEED), [lambda: program.said], rounds=("engine", "both"))
    refused = user.farshore("device", "detach", "notes/data", "--json")
    assert refused.returncode == 4
    assert "(python" in json.loads(refused.stderr)["error"]["what"], "who has it open is named"
    assert program.end() == 0
    user.done("device", "detach", "notes/data")
    point = str(Path(made["file"]).parent)
    assert [mount for mount in mounts(f"/proc/{user.pid}/mountinfo") if mount.point == point] == []
    assert volume.stat().st_blocks > 0


def test_the_file_of_a_process_that_was_killed_comes_back(user: Host) -> None:
    user.done("group", "create", "notes", "--volume", f"data={user.directory / 'volume.img'},size=1MiB")
    (made,) = user.done("device", "attach", "notes", "--json")["devices"]
    user.kill(made["pid"])
    wait_until(lambda: user.node.devices().devices[0].pid not in (None, made["pid"]), what="another process")
    (again,) = user.node.devices().devices
    assert (again.state, again.path) == ("attached", made["path"])
    user.done("device", "detach", "notes")
