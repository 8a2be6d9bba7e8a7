"""What the Debian package brings along is written down, and is what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.build_deb import LOCK, locked

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_every_dependency_is_locked_in_a_version_that_will_do() -> None:
    pins = locked()
    wanted = tomllib.loads(_PROJECT.read_text())["project"]["dependencies"]
    for each in map(Requirement, wanted):
        name = canonicalize_name(each.name)
        assert name in pins, f"{name}: run scripts/lock_packages.py"
        assert each.specifier.contains(pins[name]), f"{name} {pins[name]}: run scripts/lock_packages.py"


def test_nothing_is_taken_without_a_digest() -> None:
    for pin in re.split(r"(?m)^(?=[a-z])", LOCK.read_text())[1:]:
        assert re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]* \\\n", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", pin), pin
