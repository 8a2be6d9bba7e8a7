"""A small virtual machine under software emulation: Debian's kernel, busybox, and disks that a test names.

Kernel and busybox are taken out of Debian's packages and never installed: the packages are fetched once into
`.cache/guest` of this checkout. Everything that the guest runs lies in an initramfs made here; what it says
comes back over its serial line. Nothing of it outlives the test that started it.
"""

import gzip
import os
import platform
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import Processes
from tests.requires import program
from tests.waiting import wait_until

_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "guest"
_PCI = ("virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci")
_MODULES = ("virtio_ring", "virtio", *_PCI, "virtio_blk")
"""In the order in which they need each other."""
_FETCH_S = 120.0
_PAGES = re.compile(r"\s=> (/\S+)|^\s*(/\S+) \(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a guest is made of."""

    kernel: Path
    modules: tuple[Path, ...]
    busybox: Path


def parts() -> Parts:
    """Fetched at the first call; skips the test where that is not possible."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest's kernel is one for x86-64")
    root = _CACHE / "root"
    if not root.exists():
        _fetch(root)
    (kernel,) = root.glob("boot/vmlinuz-*")
    found = {each.stem: each for each in root.glob("lib/modules/*/kernel/drivers/*/virtio*.ko")}
    return Parts(kernel, tuple(found[name] for name in _MODULES), root / "bin" / "busybox")


def _fetch(root: Path) -> None:
    packages = _CACHE / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    names = "linux-image-cloud-amd64 and busybox-static"
    try:
        depends = _apt("apt-cache", "depends", "linux-image-cloud-amd64", cwd=packages)
        image = re.search(r"Depends: (linux-image-\S+)", depends)
        if image is None:
            pytest.skip(f"needs Debian's {names}: apt-cache knows no kernel of that kind")
        _apt("apt-get", "download", image[1], "busybox-static", cwd=packages)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"needs Debian's {names}, which cannot be fetched: {error}")
    fresh = root.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    for package in packages.glob("*.deb"):
        subprocess.run([program("dpkg-deb"), "-x", package, fresh], check=True, timeout=_FETCH_S)
        package.unlink()
    fresh.rename(root)


def _apt(*words: str, cwd: Path) -> str:
    ended = subprocess.run(
        words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FETCH_S, check=True
    )
    return ended.stdout


class Guest:
    """One that runs `script` as its first process, as soon as its disks are there."""

    def __init__(self, room: Path, script: str, disks: Sequence[str], processes: Processes) -> None:
        """`disks`: words of QEMU's command line."""
        made = parts()
        initramfs, self._said = room / "initramfs", room / "serial"
        initramfs.write_bytes(_initramfs(made, script))
        self.process = processes.start(
            [
                program("qemu-system-x86_64"),
                *("-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "256"),
                *("-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{self._said}"),
                *("-kernel", made.kernel, "-initrd", initramfs),
                *("-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off random.trust_cpu=on"),
                *disks,
            ],
            output=room / "qemu.log",
        )
        self._log = room / "qemu.log"

    @property
    def said(self) -> str:
        """All that came over the serial line."""
        return self._said.read_text("utf-8", "replace") if self._said.exists() else ""

    def until(self, word: str, timeout: float) -> None:
        """Until the guest has said `word`."""
        try:
            wait_until(
                lambda: word in self.said or self.process.poll() is not None,
                timeout,
                what=f"the guest to say {word}",
            )
        finally:
            if word not in self.said:
                print(self.said, self._log.read_text())
        assert word in self.said

    def ended(self, timeout: float) -> None:
        """Until the machine has switched itself off."""
        assert self.process.wait(timeout) == 0, self._log.read_text()


def _initramfs(made: Parts, script: str) -> bytes:
    """A cpio archive (format newc) of busybox, mkfs.ext4 with its libraries, the modules and the script."""
    mkfs = Path(program("mkfs.ext4"))
    ldd = subprocess.run(["ldd", mkfs], capture_output=True, text=True, check=True, timeout=10).stdout
    libraries = {Path(one or other) for one, other in _PAGES.findall(ldd)}
    head = "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n"
    head += "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n"
    head += "".join(f"insmod /{each.name}\n" for each in made.modules)
    files = {"init": (head + script).encode(), "bin/busybox": made.busybox.read_bytes()}
    files["bin/mkfs.ext4"] = mkfs.read_bytes()
    files |= {str(each).lstrip("/"): each.read_bytes() for each in libraries}
    files |= {each.name: each.read_bytes() for each in made.modules}
    directories = {"proc", "sys", "dev", "mnt"}
    for name in files:
        directories |= {str(each) for each in Path(name).parents if str(each) != "."}
    entries = [_entry(each, stat.S_IFDIR | 0o755, b"") for each in sorted(directories)]
    entries += [_entry(name, stat.S_IFREG | 0o755, content) for name, content in files.items()]
    return gzip.compress(b"".join([*entries, _entry("TRAILER!!!", 0, b"")]), compresslevel=1)


def _entry(name: str, mode: int, content: bytes) -> bytes:
    path = os.fsencode(name) + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % each for each in numbers) + path
    head += bytes(-len(head) % 4)
    return head + content + bytes(-len(content) % 4)
