"""What `farshore doctor` finds out about this host without asking anybody: each check gives one finding.

A check only looks. What is missing but not needed is a warning; what stops a node or endangers its state
is a failure. Every finding that is not ok names a next step.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from farshore.client.answers import Check
from farshore.model.units import format_size

_OLDEST_PYTHON = (3, 11)
_STATE_VERSION = 1
_LEAST_FREE, _GOOD_FREE = 64 << 20, 1 << 30
_FEW_FILES = 1024
_TCP = Path("/proc/sys/net/ipv4")
_FITTING = "net.ipv4.tcp_moderate_rcvbuf"
_SMALL_BUFFER = 1 << 20
_FUSE = Path("/dev/fuse")
_TOOLS = {
    "nbdcopy": "libnbd-bin",
    "nbdinfo": "libnbd-bin",
    "nbdfuse": "libnbd-bin",
    "qemu-img": "qemu-utils",
}


def of_host(state: Path) -> list[Check]:
    """The findings about this host and the state directory `state`, which may not exist."""
    checks: list[Callable[[Path], Check]] = [_state, _version, _run, _space]
    return [_python(), *(each(state) for each in checks), _files(), _buffers(), _fuse(), _tools()]


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < _OLDEST_PYTHON:  # an installer that ignored what the package asks for
        return Check(
            "python", "fail", f"{version} is older than 3.11", "install Farshore under Python 3.11 or later"
        )
    return Check("python", "ok", version)


def _state(state: Path) -> Check:
    try:
        found = state.stat()
    except FileNotFoundError:
        return Check(
            "state directory", "warn", f"{state} is not there yet", f"farshore node start --state {state}"
        )
    except OSError as error:
        return Check(
            "state directory", "fail", f"{state}: {error.strerror}", "run this as the directory's owner"
        )
    if not stat.S_ISDIR(found.st_mode):
        return Check("state directory", "fail", f"{state} is not a directory", "choose another with --state")
    if found.st_uid != os.geteuid():
        return Check(
            "state directory", "fail", f"{state} belongs to user {found.st_uid}", "run this as its owner"
        )
    if found.st_mode & 0o022:
        return Check("state directory", "fail", f"others can write to {state}", f"chmod 700 {state}")
    if found.st_mode & 0o055:
        return Check("state directory", "warn", f"others can look into {state}", f"chmod 700 {state}")
    return Check("state directory", "ok", str(state))


def _version(state: Path) -> Check:
    document = _document(state)
    if document is None:
        return Check("state version", "ok", "no node has been started here")
    if isinstance(document, str):
        return Check("state version", "fail", document, f"restore {state}/node.json from a backup")
    version = document.get("version")
    if not isinstance(version, int):
        return Check(
            "state version", "fail", "node.json has no version", f"restore {state}/node.json from a backup"
        )
    if version > _STATE_VERSION:
        text = f"{version} is newer than this Farshore, which knows {_STATE_VERSION}"
        return Check("state version", "fail", text, "start the newer Farshore, or choose another --state")
    return Check("state version", "ok", str(version))


def _run(state: Path) -> Check:
    document = _document(state)
    api = document.get("api") if isinstance(document, dict) else None
    if not isinstance(api, str) or not api.startswith("unix:"):
        return Check("run directory", "ok", "none in use" if api is None else f"the API listens on {api}")
    directory = Path(api.removeprefix("unix:")).parent
    try:
        found = directory.lstat()
    except OSError as error:
        return Check(
            "run directory", "warn", f"{directory}: {error.strerror}", f"farshore node start --state {state}"
        )
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        text = f"{directory} is not a directory that only this user can write to"
        return Check("run directory", "fail", text, f"ls -ld {directory}; remove it if it is not yours")
    return Check("run directory", "ok", str(directory))


def _space(state: Path) -> Check:
    place = next((each for each in (state, *state.parents) if each.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    text = f"{format_size(free)} free at {place}"
    if free < _LEAST_FREE:
        return Check("free space", "fail", text, "free some: scoreboards and logs cannot grow")
    return Check(
        "free space", "ok" if free >= _GOOD_FREE else "warn", text, "" if free >= _GOOD_FREE else "free some"
    )


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} (at most {hard})"
    if soft < _FEW_FILES:
        return Check(
            "open files", "warn", f"{text}: many clients or peers may be refused", f"ulimit -n {hard}"
        )
    return Check("open files", "ok", text)


def _buffers() -> Check:
    """How much of a link may be under way: the kernel fits its buffers to the line, up to a bound."""
    try:
        sending, receiving = (
            int((_TCP / name).read_text("ascii").split()[2]) for name in ("tcp_wmem", "tcp_rmem")
        )
        fitting = (_TCP / "tcp_moderate_rcvbuf").read_text("ascii").strip() != "0"
    except (OSError, ValueError, IndexError) as error:
        return Check("socket buffers", "warn", f"not known: {error}", f"see {_TCP}")
    least = min(sending, receiving) // 2  # the other half is what the kernel needs for itself
    text = f"a link may have some {format_size(least)} under way: {format_size(least * 10)}/s at 100 ms"
    if not fitting:
        return Check("socket buffers", "warn", f"{text}; not fitted to the line", f"sysctl -w {_FITTING}=1")
    if least < _SMALL_BUFFER:
        return Check("socket buffers", "warn", text, "raise net.ipv4.tcp_wmem and net.ipv4.tcp_rmem")
    return Check("socket buffers", "ok", text)


def _fuse() -> Check:
    """Whether volumes could be attached as devices. The node may run as another user than this one."""
    if not _FUSE.exists():
        return Check(
            "devices", "warn", f"this kernel has no {_FUSE}: no volume can be attached", "modprobe fuse"
        )
    if os.geteuid() != 0 and _which("fusermount3") is None:
        text = "fusermount3 is not installed: only root can attach volumes"
        return Check("devices", "warn", text, "apt-get install fuse3")
    if not os.access(_FUSE, os.R_OK | os.W_OK):
        text = f"this user may not open {_FUSE}: no volume can be attached"
        return Check("devices", "warn", text, f"chmod 666 {_FUSE}, or add the user to the group that has it")
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        return Check(
            "devices", "ok", "as files; as block devices where root runs the node and loop is loaded"
        )
    return Check("devices", "ok", "as loop devices and as files")


def _tools() -> Check:
    missing = [name for name in _TOOLS if _which(name) is None]
    if missing:
        packages = " ".join(sorted({_TOOLS[name] for name in missing}))
        return Check(
            "optional tools",
            "warn",
            f"not installed: {', '.join(missing)}; programs that open exports, Farshore itself needs none",
            f"apt-get install {packages}",
        )
    return Check("optional tools", "ok", ", ".join(_TOOLS))


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _document(state: Path) -> dict[str, object] | str | None:
    """node.json: the document, None where there is none, or what is wrong with it."""
    path = state / "node.json"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: {error.strerror}"
    except ValueError:
        return f"{path} is damaged"
    return document if isinstance(document, dict) else f"{path} is damaged"
