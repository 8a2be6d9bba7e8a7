"""Builds the Debian package from a wheel: an environment of its own with all that Farshore needs inside.

    python scripts/build_deb.py WHEEL DIRECTORY [--fast]

The environment is made with the system's Python for /usr/lib/farshore. What is in it beside Farshore stands
in `packaging/requirements.lock`, with digests; those wheels are fetched once into `.cache/wheels`, and
after that no network is needed. Units, what hears of the network, control and maintainer scripts come from
`packaging`, manual pages and completions from the wheel. dpkg-deb packs it, as root's files whoever builds;
`--fast` packs lightly, for tests. Prints the package's path. The same wheel gives the same package, to the
byte: nothing in it tells when or in which directory it was built, and its times are the wheel's own.
"""

import csv
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
LOCK = PACKAGING / "requirements.lock"
HOME = Path("usr/lib/farshore")
_SYSTEM_PYTHON = "/usr/bin/python3"
_LIMIT_S = 600
_STARTER = f"""#!/{HOME}/bin/python -P
import sys

from farshore.cli.main import main

sys.exit(main())
"""
_PLACES = {
    "bash-completion/completions/farshore": "usr/share/bash-completion/completions/farshore",
    "zsh/site-functions/_farshore": "usr/share/zsh/vendor-completions/_farshore",
    "fish/vendor_completions.d/farshore.fish": "usr/share/fish/vendor_completions.d/farshore.fish",
}


def main(arguments: list[str]) -> int:
    fast = "--fast" in arguments
    wheel, directory = (Path(each).resolve() for each in arguments if each != "--fast")
    version = debian_version(wheel.name.split("-")[1])
    with tempfile.TemporaryDirectory(prefix="farshore-deb-") as room:
        tree = Path(room, "tree")
        _environment(tree, wheel)
        _shared(tree)
        _units(tree)
        _network(tree)
        _documents(tree)
        architecture = _said("dpkg", "--print-architecture")
        _control(tree, version, architecture)
        made = directory / f"farshore_{version}_{architecture}.deb"
        made.parent.mkdir(parents=True, exist_ok=True)
        pack(tree, made, time_of(wheel), fast=fast)
    print(made)
    return 0


def debian_version(version: str) -> str:
    """Where a Python version says `.dev` or `rc`, Debian wants a tilde, which sorts before the release."""
    return re.sub(r"\.?(dev|a|b|rc)(?=\d)", r"~\1", version)


def time_of(wheel: Path) -> int:
    """The time of the newest file in a wheel, in seconds since 1970."""
    with zipfile.ZipFile(wheel) as archive:
        newest = max(each.date_time for each in archive.infolist())
    return int(datetime(*newest, tzinfo=UTC).timestamp())


def pack(tree: Path, made: Path, time: int, *, fast: bool) -> None:
    """Makes the package of a finished tree; no file in it is newer than `time`."""
    how = ("-Zgzip", "-z1") if fast else ("-Zxz",)
    words = ("dpkg-deb", "--root-owner-group", *how, "--build", tree, made)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(time)}
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, timeout=_LIMIT_S, check=True)


def _environment(tree: Path, wheel: Path) -> None:
    home = tree / HOME
    _run(_SYSTEM_PYTHON, "-m", "venv", "--without-pip", home)
    pip = (sys.executable, "-m", "pip", "-q", "--python", home / "bin" / "python")
    install = (*pip, "install", "--no-index", "--no-deps", "--no-compile")
    _run(*install, "--find-links", wheels(), "--require-hashes", "-r", LOCK)
    _run(*install, wheel)
    _run(*pip, "check")
    for script in (home / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()
    for left in home.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        left.unlink()
    _forget_what_is_elsewhere(home)
    shutil.rmtree(home / "include")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    starter = home / "bin" / "farshore"
    starter.write_text(_STARTER)
    starter.chmod(0o755)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/farshore").symlink_to("../lib/farshore/bin/farshore")
    # The time of a file says nothing in an archive that can be built again; its content does.
    compiled = ("-q", "-s", tree, "-p", "/", "--invalidation-mode", "unchecked-hash", home / "lib")
    _run(_SYSTEM_PYTHON, "-m", "compileall", *compiled)


def _forget_what_is_elsewhere(home: Path) -> None:
    """In what pip has recorded of each package: programs and pages do not stay where it put them, and the
    digests of programs differ with the directory that the environment was made in."""
    for record in home.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        packages = record.parent.parent
        kept = [
            line
            for line in record.read_text().splitlines(keepends=True)
            if not line.startswith("../") and (packages / next(csv.reader([line]))[0]).exists()
        ]
        record.write_text("".join(kept))


def locked() -> dict[str, str]:
    """Name -> version of what the package brings along beside Farshore."""
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", LOCK.read_text()))


def wheels() -> Path:
    """A directory with every wheel that is locked, fetched where one is missing."""
    kept = ROOT / ".cache" / "wheels"
    kept.mkdir(parents=True, exist_ok=True)
    fetch = (sys.executable, "-m", "pip", "-q", "download", "--only-binary", ":all:", "--no-deps", "-d", kept)
    locked = ("--require-hashes", "-r", LOCK)
    known = subprocess.run(
        [*fetch, "--no-index", "--find-links", kept, *locked],
        capture_output=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if known.returncode:
        _run(*fetch, *locked)
    return kept


def least_libc(home: Path) -> str:
    """The oldest C library that every compiled part of an environment is content with, as in 2.34."""
    needed = (2, 17)  # what manylinux2014 stands for
    for record in home.glob("lib/python*/site-packages/*.dist-info/WHEEL"):
        found = re.findall(r"manylinux_(\d+)_(\d+)_", record.read_text())
        if found:
            needed = max(needed, min((int(major), int(minor)) for major, minor in found))
    return ".".join(map(str, needed))


def _shared(tree: Path) -> None:
    """From the environment, where pip puts it, to where the system looks."""
    share = tree / HOME / "share"
    manual = tree / "usr/share/man/man1"
    manual.mkdir(parents=True)
    for page in (share / "man/man1").glob("farshore*.1"):
        _compressed(page, manual / f"{page.name}.gz")
    for source, goal in _PLACES.items():
        place = tree / goal
        place.parent.mkdir(parents=True)
        shutil.copyfile(share / source, place)
    shutil.rmtree(share)


def _units(tree: Path) -> None:
    units = tree / "usr/lib/systemd/system"
    for source in sorted((PACKAGING / "systemd").glob("*.*")):
        if source.suffix in (".service", ".target", ".slice", ".socket"):
            units.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, units / source.name)


def _network(tree: Path) -> None:
    """What tells the node that a line may be back, for both of those who know when."""
    for place in ("NetworkManager/dispatcher.d", "networkd-dispatcher/routable.d"):
        goal = tree / "usr/lib" / place / "90-farshore"
        goal.parent.mkdir(parents=True)
        shutil.copyfile(PACKAGING / "network/90-farshore", goal)
        goal.chmod(0o755)


def _documents(tree: Path) -> None:
    place = tree / "usr/share/doc/farshore"
    place.mkdir(parents=True)
    shutil.copyfile(PACKAGING / "debian/copyright", place / "copyright")
    _compressed(ROOT / "CHANGELOG.md", place / "changelog.gz")
    for page in (*sorted((ROOT / "docs").glob("*.md")), *PACKAGING.glob("*.toml")):
        shutil.copyfile(page, place / page.name)


def _control(tree: Path, version: str, architecture: str) -> None:
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    size = sum(path.lstat().st_size for path in tree.rglob("*")) >> 10
    major, minor = map(int, _said(_SYSTEM_PYTHON, "-c", "import sys; print(*sys.version_info[:2])").split())
    text = (PACKAGING / "debian/control").read_text()
    for word, value in {
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "SIZE": str(size),
        "LIBC": least_libc(tree / HOME),
        "PYTHON": f"{major}.{minor}",
        "NEXT_PYTHON": f"{major}.{minor + 1}",
    }.items():
        text = text.replace(f"@{word}@", value)
    place = tree / "DEBIAN"
    place.mkdir()
    (place / "control").write_text(text)
    for name in ("preinst", "postinst", "prerm", "postrm"):
        shutil.copyfile(PACKAGING / "debian" / name, place / name)
        (place / name).chmod(0o755)


def _compressed(source: Path, goal: Path) -> None:
    goal.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))


def _said(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S, check=True).stdout.strip()


def _run(*words: str | Path) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, timeout=_LIMIT_S, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
