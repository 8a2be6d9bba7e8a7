"""Writes packaging/requirements.lock: what the Debian package brings along, to the byte.

    python scripts/lock_packages.py

pip chooses versions for what pyproject.toml names, as a new installation would; for each Python and
architecture that the package is built for, it then names the wheels of these versions, whose digests are
kept.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "packaging/requirements.lock"
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_ARCHITECTURES = ("x86_64", "aarch64")
_GLIBC = (17, 24, 26, 28, 31, 34)
"""Minor versions of the C library in names of wheels, up to that of the oldest of these systems."""
_LIMIT_S = 600
_HEAD = "# What the Debian package brings along, beside Farshore. Written by scripts/lock_packages.py.\n"


def main() -> int:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    versions = {name: version for name, version, _ in _chosen(wanted, _PYTHONS[0], _ARCHITECTURES[0])}
    digests: dict[str, set[str]] = {name: set() for name in versions}
    for python, architecture in product(_PYTHONS, _ARCHITECTURES):
        pins = [f"{name}=={version}" for name, version in versions.items()]
        for name, _, digest in _chosen(pins, python, architecture, alone=True):
            digests[name].add(digest)
    lines = [
        " \\\n    ".join([f"{name}=={versions[name]}", *(f"--hash=sha256:{each}" for each in sorted(found))])
        for name, found in sorted(digests.items())
    ]
    LOCK.write_text(_HEAD + "\n".join(lines) + "\n")
    return 0


def _chosen(
    wanted: list[str], python: str, architecture: str, *, alone: bool = False
) -> list[tuple[str, str, str]]:
    """Name, version and digest of each wheel that pip would take. Raises CalledProcessError."""
    platforms = [f"--platform=manylinux_2_{minor}_{architecture}" for minor in _GLIBC]
    with tempfile.TemporaryDirectory(prefix="farshore-lock-") as room:
        report = Path(room, "report.json")
        words = ("install", "--dry-run", "--ignore-installed", "--quiet", "--only-binary=:all:")
        where = (f"--target={room}/none", f"--python-version={python}", *platforms)
        how = (f"--report={report}", *(["--no-deps"] if alone else []))
        subprocess.run(
            [sys.executable, "-m", "pip", *words, *where, *how, *wanted],
            check=True,
            timeout=_LIMIT_S,
        )
        installed = json.loads(report.read_text())["install"]
    return [
        (
            each["metadata"]["name"].lower().replace("_", "-"),
            each["metadata"]["version"],
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in installed
    ]


if __name__ == "__main__":
    sys.exit(main())
