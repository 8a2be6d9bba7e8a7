"""A chain whose volume grows again and again under load, while its engines and nodes die at any moment."""

import random
import subprocess
import threading
from pathlib import Path
from time import monotonic

from tests.cluster import Host, first_difference
from tests.fault.still import any_moment
from tests.outage.writing import anywhere, writing
from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until

_PATIENCE = 120.0
_STEP = MIB


def grow_in_torment(sites: Sites, group: str, chosen: random.Random, rounds: int) -> int:
    """So many times: a resize is asked for, somebody dies, the same is asked again until it is done; then new
    clients write all over the larger volume. In the end all three copies are equal. How large it is then."""
    size = sites.a.group(group).volumes[0].size
    assert size is not None
    for number in range(rounds):
        size += _STEP
        victim = chosen.choice((sites.a, sites.b, sites.c))
        killer = threading.Thread(target=_kill, args=(victim, group, chosen.uniform(0.0, 0.8)))
        killer.start()
        sites.a.farshore("group", "resize", group, "data", str(size))  # however it ends
        killer.join()
        victim.start()
        _until_grown(sites.a, group, size)
        sites.a.until(group, lambda seen: seen.writes == "flowing", "writes to flow again", _PATIENCE)
        with sites.a.client(group) as client, writing(client, anywhere(size, number)) as writer:
            writer.go_on(10)
    sites.equal(group, sites.b, "b")
    here, there = sites.a.image(group), Path(sites.copies(sites.c, group)["c"]["volumes"][0]["path"])
    wait_until(lambda: first_difference(here, there) is None, _PATIENCE, what="c to hold what a holds")
    assert here.stat().st_size == there.stat().st_size == size
    return size


def _kill(victim: Host, group: str, after: float) -> None:
    any_moment(after)
    victim.kill_node()
    victim.kill_engine_of(group)


def _until_grown(host: Host, group: str, size: int) -> None:
    """The same command again and again, as an operator would give it."""
    late, said = monotonic() + _PATIENCE, ""
    while monotonic() < late:
        run: subprocess.CompletedProcess[str] = host.farshore("group", "resize", group, "data", str(size))
        if run.returncode == 0 or "already, at every copy" in run.stderr:
            return
        said = run.stderr
    raise AssertionError(f"{group} never became {size // MIB} MiB large: {said}")
