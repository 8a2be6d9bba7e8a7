"""What a test needs from the machine beside Python, said at the test itself.

A test whose need is not met is skipped with a reason that names the Debian package. The programs
and their packages stand in `debian-packages.txt`, from which `make test` installs them as root.
"""

import os
import shutil
from pathlib import Path

import pytest

_LIST = Path(__file__).with_name("debian-packages.txt")
_POSTGRESQL = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
"""Debian keeps the server's programs, of each version, where nobody searches."""
_PATH = os.pathsep.join([*_POSTGRESQL, os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def packages() -> dict[str, str]:
    """The Debian package of each program that tests may ask for."""
    lines = [line.split() for line in _LIST.read_text(encoding="utf-8").splitlines()]
    return {line[0]: line[1] for line in lines if line and not line[0].startswith("#")}


def program(name: str) -> str:
    """The full path of a required program; also one that lies where users do not search."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise FileNotFoundError(f"{name}: not installed; mark the test with requires({name!r})")
    return path


def requires(*programs: str) -> pytest.MarkDecorator:
    """Skips a test, or with `pytestmark` a module, where one of these programs is missing."""
    known = packages()
    unknown = [name for name in programs if name not in known]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: add program and package to {_LIST.name}")
    missing = [name for name in programs if shutil.which(name, path=_PATH) is None]
    needed = sorted({known[name] for name in missing})
    reason = f"needs {', '.join(missing)}: apt-get install {' '.join(needed)}"
    return pytest.mark.skipif(bool(missing), reason=reason)


def requires_fuse() -> pytest.MarkDecorator:
    """Skips a test where this user cannot open /dev/fuse."""
    return pytest.mark.skipif(not _fuse_opens(), reason="needs a usable /dev/fuse (Debian package fuse3)")


def requires_root() -> pytest.MarkDecorator:
    """Skips a test that only root can run."""
    return pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def _fuse_opens() -> bool:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
