"""A host of a test's own: systemd as the first process of its own namespaces, over this host's programs.

Its root is an overlay: everything that is installed here can be seen, what is written goes to a directory of
the test and outlives a reboot. Its /etc has no units but those that systemd brings and ours; its network is
a loopback; its /dev has what we need. Nothing of it can be seen outside, and when its first process is
killed, all of it ends.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from farshore.store.mounts import loop_devices
from tests.command_line import ROOT
from tests.requires import program
from tests.waiting import wait_until

_UNITS = ROOT / "packaging/systemd"
_BOOT_S = 60.0
_RUN_S = 60.0
_MASKED = (
    "console-getty.service",
    "dev-hugepages.mount",
    "getty.target",
    "modprobe@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-update-utmp.service",
)
_NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net")
_FIRST = """
set -eu
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for each in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$each"; done
chmod 1777 tmp
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for each in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
    IFS=: read -r name major minor <<EOF
$each
EOF
    mknod -m 666 "dev/$name" c "$major" "$minor"
done
mknod dev/loop-control c 10 237
for number in $(seq 0 63); do mknod "dev/loop$number" b 7 "$number"; done
mkdir -p ".$2"
mount --bind "$2" ".$2"
mkdir -p var/outside
pivot_root . var/outside
cd /
umount -l /var/outside
mount --make-rshared /  # as on every host that is no container: what is unmounted is so for all units
exec env -i container=farshore-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \\
    /lib/systemd/systemd --log-target=journal
"""


class Machine:
    """A host that can be booted, used and shut down, more than once."""

    def __init__(self, directory: Path, *, installed: bool = True) -> None:
        """`installed`: with this checkout where its package would put it; else without Farshore."""
        self.directory = directory
        for name in ("upper", "work", "root"):
            (directory / name).mkdir()
        self._unshare: subprocess.Popen[bytes] | None = None
        self._furnish()
        if installed:
            self._install()

    def path(self, inside: str) -> Path:
        """Where a file that the machine wrote lies, seen from here."""
        return self.directory / "upper" / inside.lstrip("/")

    def write(self, inside: str, text: str) -> None:
        """Puts a file into the machine, which is off or has not looked there yet."""
        path = self.live(inside) if self._unshare is not None else self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def live(self, inside: str) -> Path:
        """A path of the machine while it runs, also of what lies in its memory alone."""
        return Path(f"/proc/{self._first()}/root") / inside.lstrip("/")

    def boot(self) -> None:
        """Returns when systemd has started all it has to start."""
        command = [program("unshare"), *_NAMESPACES, "--fork", "--kill-child", "sh", "-c", _FIRST, "sh"]
        self._unshare = subprocess.Popen(
            [*command, str(self.directory), str(ROOT)], stdin=subprocess.DEVNULL, start_new_session=True
        )

        def up() -> bool:
            assert self._unshare is not None
            assert self._unshare.poll() is None, "the machine ended while it booted"
            state = self.tried("systemctl", "is-system-running").stdout.strip()
            return state in ("running", "degraded")

        wait_until(up, _BOOT_S, interval=0.1, what="systemd is up")

    def command(self, *words: str) -> list[str]:
        """The same, to be run from outside."""
        return [
            *(program("nsenter"), f"--target={self._first()}", "--all", "--root", "--wd"),
            *("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *words),
        ]

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, however it ends."""
        return subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_RUN_S, check=False,
        )  # fmt: skip

    def done(self, *words: str) -> str:
        """Runs a command inside that has to succeed; what it printed."""
        run = self.tried(*words)
        assert run.returncode == 0, f"{' '.join(words)}: {run.returncode}\n{run.stdout}{run.stderr}"
        return run.stdout

    def shown(self, unit: str, *properties: str) -> list[str]:
        """Properties of a unit, one after the other."""
        out = self.done("systemctl", "show", f"--property={','.join(properties)}", unit)
        found = dict(line.split("=", 1) for line in out.splitlines())
        return [found.get(each, "") for each in properties]

    def power_off(self) -> None:
        """An orderly shutdown."""
        assert self._unshare is not None
        self.tried("systemctl", "poweroff", "--no-block")
        self._unshare.wait(_BOOT_S)
        self._unshare = None

    def close(self) -> None:
        """Pulls the plug, if it is on."""
        if self._unshare is not None:
            self._let_go_of_devices()
            os.kill(self._unshare.pid, signal.SIGKILL)
            self._unshare.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _let_go_of_devices(self) -> None:
        """Else the kernel, taking the namespace apart, waits for a device process that it has just ended; and
        loop devices, which have no namespace, would stay."""
        for line in Path(f"/proc/{self._first()}/mountinfo").read_text().splitlines():
            if " fuse.farshore " in line:
                number, point = line.split()[2], line.split()[4]
                connection = number.partition(":")[2]
                self.tried("sh", "-c", f"echo 1 >/sys/fs/fuse/connections/{connection}/abort")
                for name, backing in loop_devices(str(self.live("/sys/block"))).items():
                    if backing.startswith(f"{point}/"):
                        self.tried("losetup", "--detach", f"/dev/{name}")

    def _first(self) -> int:
        """The machine's process 1, as it is numbered here; the shell that becomes systemd counts too."""
        assert self._unshare is not None
        task = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        return int(wait_until(lambda: task.read_text().split(), 10, what="the machine's first process")[0])

    def _furnish(self) -> None:
        """An /etc without this host's services, and nothing of Farshore."""
        for name in ("systemd/system", "init.d", "rc0.d", "rc2.d", "rc3.d", "rc5.d", "rc6.d", "rcS.d"):
            _opaque(self.path(f"/etc/{name}"))
        self.write("/etc/fstab", "")
        self.write("/etc/hostname", "machine\n")
        self.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        units = self.path("/etc/systemd/system")
        for each in _MASKED:
            (units / each).symlink_to("/dev/null")
        wants = units / "multi-user.target.wants"
        wants.mkdir()
        (wants / "remote-fs.target").symlink_to(
            "/lib/systemd/system/remote-fs.target"
        )  # as Debian enables it
        _opaque(self.path("/var/lib/farshore"))
        _opaque(self.path("/etc/farshore"))
        (self.path("/var/log/journal")).mkdir(parents=True)
        policy = self.path("/usr/sbin/policy-rc.d")  # where a container says that packages may start nothing
        policy.parent.mkdir(parents=True)
        os.mknod(policy, stat.S_IFCHR, os.makedev(0, 0))  # hides it

    def _install(self) -> None:
        """Farshore where its package puts it."""
        for unit in _UNITS.iterdir():
            shutil.copy(unit, self.path("/etc/systemd/system"))
        library = self.path("/usr/lib/farshore")
        library.parent.mkdir(parents=True)
        library.symlink_to(Path(sys.prefix))
        command = self.path("/usr/bin/farshore")
        command.parent.mkdir(parents=True)
        command.symlink_to(Path(sys.prefix) / "bin/farshore")


def _opaque(path: Path) -> None:
    """An empty directory that hides the one of this host."""
    path.mkdir(parents=True)
    os.setxattr(path, "trusted.overlay.opaque", b"y")


def _can_boot() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None or not Path("/lib/systemd/systemd").exists():
        return False
    probe: Sequence[str] = (
        "unshare",
        *_NAMESPACES,
        "--fork",
        "sh",
        "-c",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )
    return subprocess.run(probe, capture_output=True, timeout=20).returncode == 0


requires_machine = pytest.mark.skipif(
    not _can_boot(), reason="needs root, namespaces, and systemd (Debian package systemd)"
)
