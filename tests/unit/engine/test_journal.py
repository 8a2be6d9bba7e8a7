"""The engine's events, and its log lines."""

import subprocess
import sys


def test_a_log_that_cannot_be_written_does_not_end_the_engine() -> None:
    code = "from farshore.engine.journal import to_stderr; [to_stderr('x' * 9000) for _ in range(3)]"
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([sys.executable, "-c", code], stderr=full, timeout=60, check=False)
    assert ended.returncode == 0
