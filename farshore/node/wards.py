"""What a supervisor keeps processes for, and which kinds of processes there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from farshore.node.engine_process import DEVICE_COMMAND, ENGINE_COMMAND
from farshore.node.engines import EngineClient

T_contra = TypeVar("T_contra", contravariant=True)


class Around(Protocol[T_contra]):
    """What has to be done around a process of some kind."""

    async def before_start(self, ward: T_contra) -> None:
        """Prepares a start, or puts it off: raises FarshoreError why."""

    async def after_kill(self, ward: T_contra) -> None:
        """Helps a process to end that was just sent SIGKILL. Raises nothing."""


class Ward(Protocol):
    """What a process is kept for; its directory holds the process's lock and log."""

    @property
    def key(self) -> str:
        """Unique among the wards of one supervisor, and what the process says that it serves."""

    @property
    def directory(self) -> Path: ...

    @property
    def called(self) -> str:
        """The process in words: `engine of orders`."""

    @property
    def control(self) -> EngineClient:
        """Whom to ask."""


@dataclass(frozen=True, slots=True)
class Program:
    """The kind of process that a supervisor keeps."""

    name: str
    command: tuple[str, ...]
    serves: str
    """The field of its `hello` that has the ward's key."""
    without: str
    """What it means that it does not run."""
    reloads: bool = False
    """Whether one that is found running has to be told of intents that an earlier node wrote down."""

    def log(self, directory: Path) -> Path:
        """Of the process of a ward's directory."""
        return directory / f"{self.name}.log"


ENGINE = Program("engine", ENGINE_COMMAND, "copy", "its volumes are not served", reloads=True)
DEVICE = Program("device", DEVICE_COMMAND, "id", "what is opened through it gets errors")
