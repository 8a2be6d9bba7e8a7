"""Jobs run off the loop; those of one key in order, one at a time; their ends arrive on the loop."""

import errno
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from farshore.engine.pool import JobCrashed, Pool, errno_of
from farshore.engine.reactor import Reactor
from tests.unit.engine.turning import turn_until
from tests.waiting import wait_until


@pytest.fixture
def pool(reactor: Reactor) -> Iterator[Pool]:
    made = Pool(reactor, "test", 4)
    yield made
    made.close()


def test_results_come_back_on_the_loops_thread(reactor: Reactor, pool: Pool) -> None:
    seen: list[tuple[int, int | OSError]] = []
    pool.submit("key", threading.get_ident, lambda result: seen.append((threading.get_ident(), result)))
    turn_until(reactor, lambda: seen)
    assert seen[0][0] == threading.get_ident()
    assert seen[0][1] != threading.get_ident()
    assert pool.unfinished == 0


def test_jobs_of_a_key_never_overlap_and_keep_their_order(reactor: Reactor, pool: Pool) -> None:
    running = 0
    order: list[int] = []
    reported: list[int] = []

    def job(number: int) -> int:
        nonlocal running
        running += 1
        assert running == 1
        order.append(number)
        running -= 1
        return number

    def note(result: int | OSError) -> None:
        assert isinstance(result, int)
        reported.append(result)

    for number in range(200):
        pool.submit("one descriptor", partial(job, number), note)
    turn_until(reactor, lambda: len(reported) == 200)
    assert order == reported == list(range(200))
    assert not pool.busy("one descriptor")


def test_jobs_of_different_keys_run_side_by_side(reactor: Reactor, pool: Pool) -> None:
    meeting = threading.Barrier(3)
    seen: list[int | OSError] = []
    for key in range(3):
        pool.submit(key, lambda: meeting.wait(10.0), seen.append)
    turn_until(reactor, lambda: len(seen) == 3)
    assert set(seen) == {0, 1, 2}


def test_an_error_of_the_system_is_a_result(reactor: Reactor, pool: Pool) -> None:
    def failing() -> None:
        raise OSError(errno.ENOSPC, "full")

    seen: list[int] = []
    pool.submit("key", failing, lambda result: seen.append(errno_of(result)))
    pool.submit("key", lambda: None, lambda result: seen.append(errno_of(result)))
    turn_until(reactor, lambda: len(seen) == 2)
    assert seen == [errno.ENOSPC, 0]


def test_a_defect_in_a_job_ends_the_loop_and_leaves_its_traceback(
    reactor: Reactor, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda hooked: traces.append(hooked.exc_type))

    def defective() -> None:
        raise ZeroDivisionError

    pool.submit("key", defective, lambda _result: None)
    with pytest.raises(JobCrashed):
        turn_until(reactor, lambda: False)
    wait_until(lambda: traces == [ZeroDivisionError])


def test_the_next_job_of_a_key_begins_when_the_end_of_the_one_before_was_reported(
    reactor: Reactor, pool: Pool
) -> None:
    second = threading.Event()
    seen: list[bool] = []

    def reported(_: object) -> None:
        seen.append(second.wait(0.05))  # a job that had begun by now would use what this report reads

    pool.submit("files", lambda: None, reported)
    pool.submit("files", second.set, lambda _: None)
    turn_until(reactor, lambda: pool.unfinished == 0)
    assert seen == [False]
    assert second.is_set()


class Kept:
    """Stands for what a job works on: files that are open for as long as somebody names them."""

    def worked(self) -> "Kept":
        return self

    def failing(self) -> None:
        raise OSError(errno.ENOSPC, "full")

    def told(self, _result: object) -> None:
        """Its end."""


@pytest.mark.parametrize("job", [Kept.worked, Kept.failing])
def test_an_idle_thread_keeps_nothing_of_its_last_job(
    reactor: Reactor, pool: Pool, job: Callable[[Kept], object]
) -> None:
    kept = Kept()
    gone = weakref.ref(kept)
    pool.submit("key", partial(job, kept), kept.told)
    del kept
    turn_until(reactor, lambda: pool.unfinished == 0)
    wait_until(lambda: gone() is None)
