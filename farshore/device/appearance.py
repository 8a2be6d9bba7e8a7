"""What programs see of a device: the mounted file, the loop device on it, the link where it was wanted.

Each step of making it is undone if a later one fails. `remove` refuses, and changes nothing, while anybody
uses it. `complete`, `remove` and `abandon` ask the file system that we are, so they belong to `chores`: they
return what they have made. What a process that died left behind is the business of `remains`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Any, Final

from farshore.device import link_record, loop_device, mounting
from farshore.device.holders import holders
from farshore.engine.os_failures import as_farshore_error
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig

_MEANS_NOT_ATTACHED: Final = "The volume is not attached; nothing was changed."
_MEANS_IN_USE: Final = "The device stays attached, and nothing was changed."
_MEANS_HALF_WAY: Final = "The device is detached in part, or not at all; the volume's data was not changed."
_PATIENCE: Final = 2.0
"""Seconds in which whoever only looks at a device (udev, blkid) has closed it again."""
_LOOKS: Final = 20
_ASKS: Final = 100


class Appearance:
    """See the module. `directory` is the device's own."""

    def __init__(self, config: DeviceConfig, directory: str) -> None:
        self.config = config
        self.file = file_of(config)
        self._made: str | None = None
        self.way = chosen_way(config.way)
        self._directory = directory

    @property
    def device(self) -> str | None:
        """The loop device, where there is one. Whatever a child of ours did or did not tell, the kernel knows
        whether it is still ours: a name that was freed is soon somebody else's."""
        made = self._made
        return made if made is not None and loop_device.stands_on(made, self.file) else None

    @device.setter
    def device(self, made: str | None) -> None:
        self._made = made

    def look(self) -> None:
        """After a step that died without a word: whether there is a loop device is asked of the kernel."""
        if self.way == "loop":
            self._made = next(iter(loop_device.on(self.file)), None)

    @property
    def path(self) -> str:
        """What a program opens."""
        return self.device or self.file

    # -- making it --------------------------------------------------------------------------

    def mount(self) -> int:
        """The descriptor through which the kernel asks. Raises FarshoreError or OSError."""
        return mounting.mount(self.config.mount)

    def complete(self) -> str | None:
        """The loop device and the link; the kernel's questions are being answered. Returns the loop device.
        Raises FarshoreError or OSError, and has left nothing then but the mount."""
        os.stat(self.file)
        if self.way == "loop":
            self.device = loop_device.make(self.file, read_only=self.config.read_only)
        try:
            self._link()
        except (FarshoreError, OSError):
            self.abandon()
            raise
        return self.device

    def grow(self, size: int) -> None:
        """The file is that large by now: so is what programs see. The kernel takes a size that it hears while
        somebody writes for an old one, and asks again. Raises FarshoreError, or OSError with the reason."""
        for _ in range(_ASKS):
            if _length_of(self.file) == size:
                if self.device is not None:
                    loop_device.grow(self.device)
                if _length_of(self.path) == size:
                    return
            time.sleep(_PATIENCE / _ASKS)
        raise FarshoreError(
            "timeout",
            f"{self.path} is not as large as its volume yet",
            means="What it holds can be used as before; what the volume has gained cannot be reached there.",
            next_step="the same command again",
        )

    def abandon(self) -> None:
        """Undoes what was made, without asking whether it is in use."""
        self._unlink()
        if self.device is not None:
            loop_device.free_when_unused(self.device)
            self.device = None
        with contextlib.suppress(OSError):  # it is gone already
            mounting.unmount(self.config.mount, lazily=True)
        mounting.remove_directory(self.config.mount)

    def _link(self) -> None:
        at = self.config.at
        if at is None:
            return
        try:
            link_record.link(self._directory, at, self.path)
        except FileExistsError:
            raise FarshoreError(
                "exists",
                f"{at} is there already",
                means=_MEANS_NOT_ATTACHED,
                next_step="choose another place, or remove it",
            ) from None

    def _unlink(self) -> None:
        if self.config.at is not None:
            link_record.unlink(self._directory, self.config.at)

    # -- removing it ------------------------------------------------------------------------

    def remove(self) -> dict[str, Any]:
        """{"device": the loop device that there is now, "refused": why it is not removed, or None}. Who uses
        it is named (`in-use`). Raises nothing, since it may have done a part."""
        try:
            refused = self._remove()
        except FarshoreError as error:
            refused = error
        except OSError as error:
            refused = as_farshore_error(error, _MEANS_HALF_WAY)
        return {"device": self.device, "refused": None if refused is None else refused.as_dict()}

    def _remove(self) -> FarshoreError | None:
        found = self._holders()
        for _ in range(_LOOKS):
            if not found:
                break
            time.sleep(_PATIENCE / _LOOKS)
            found = self._holders()
        if not found:
            self._unlink()  # first: a loop device that was freed is soon somebody else's
            try:
                if self.device is not None:
                    loop_device.free(self.device)
                    self.device = None
                mounting.unmount(self.config.mount)
            except OSError as error:
                busy = error.errno == errno.EBUSY
                found = (self._holders() or ["somebody opened it just now"]) if busy else []
                self._restore()
                if not busy:
                    raise
        if found:
            return self._in_use(found)
        mounting.remove_directory(self.config.mount)
        return None

    def _restore(self) -> None:
        """The mount stays, whoever or whatever keeps it: so does the rest, with another loop device where the
        one that there was is gone."""
        if self.way == "loop" and self.device is None:
            self.device = loop_device.make(self.file, read_only=self.config.read_only)
        if self.config.at is not None:
            link_record.link(self._directory, self.config.at, self.path)

    def _holders(self) -> list[str]:
        return [each.words for each in holders([self.path, self.file], self.device)]

    def _in_use(self, found: list[str]) -> FarshoreError:
        return FarshoreError(
            "in-use",
            f"{self.path} is in use: {'; '.join(found)}",
            means=_MEANS_IN_USE,
            next_step=f"umount {self.path}, or stop what uses it; then detach again",
        )


def _length_of(path: str) -> int:
    """Of a file or a device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def chosen_way(way: str) -> str:
    """`loop` or `file`. Raises FarshoreError where what is wanted cannot be had."""
    if way == "kernel":
        raise FarshoreError(
            "usage",
            "attaching through the kernel's NBD client is not offered by this version",
            means=_MEANS_NOT_ATTACHED,
            next_step="attach with --way auto",
        )
    if way == "loop" and not loop_device.permitted():
        raise FarshoreError(
            "permission",
            "loop devices need root, and a kernel that has them",
            means=_MEANS_NOT_ATTACHED,
            next_step="run the node as root, or attach with --way file",
        )
    if way == "auto":
        return "loop" if loop_device.permitted() else "file"
    return way


def file_of(config: DeviceConfig) -> str:
    """The path of the mounted file."""
    return f"{config.mount}/{file_name(config.volume)}"


def file_name(volume: str) -> str:
    """What the file is called."""
    return volume.replace("/", "_").replace("\0", "_").strip(".")[:200] or "volume"
