"""fio's output becomes figures, or an error, and never a guess."""

import pytest

from bench.fio import FioFailed, Job, figures

GOOD = """fio: some warning first
{"jobs": [{"error": %d, "write": {"iops": 1000.5, "total_ios": 3002, "bw_bytes": 4098048,
"lat_ns": {"mean": 31000.0},
"clat_ns": {"percentile": {"50.000000": 30000, "99.000000": 50000, "99.900000": 70000}}}}]}"""


def test_figures_come_out_in_the_units_that_they_are_named_after() -> None:
    found = figures(GOOD % 0)
    assert (found.iops, found.bytes_per_second) == (1000.5, 4098048)
    assert (found.mean_us, found.p50_us, found.p99_us, found.p999_us) == (31, 30, 50, 70)
    assert found.writes == 3002
    assert found.steady is None


@pytest.mark.parametrize(
    "output",
    ["", "fio: connection refused", "{", '{"jobs": []}', '{"jobs": [{"error": 0, "write": {}}]}', GOOD % 5],
)
def test_a_run_without_figures_is_an_error(output: str) -> None:
    with pytest.raises(FioFailed):
        figures(output)


@pytest.mark.parametrize(("queue", "steady"), [((10, 10), True), ((10, 9), True), ((10, 11), False)])
def test_steady_means_no_deeper_at_the_end(queue: tuple[int, int], steady: bool) -> None:
    assert figures(GOOD % 0, queue).steady is steady


def test_flushes_are_asked_for_only_where_the_job_has_them() -> None:
    assert "--fsync=32" in Job(4096, 32, flush_every=32).arguments()
    assert not any(word.startswith("--fsync") for word in Job(4096, 32).arguments())
