"""What a supervisor keeps processes for, and which kinds of processes there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from farshore.node.engine_process import DEVICE_COMMAND, ENGINE_COMMAND, Watch
from farshore.node.engines import EngineClient
from farshore.node.launch import IN_SESSION, Launch

T_contra = TypeVar("T_contra", contravariant=True)


class Around(Protocol[T_contra]):
    """What has to be done around a process of some kind."""

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
    refuses: bool = False
    """Whether a process that is in use refuses to stop; once it was ready it is never killed."""
    launch: Launch = IN_SESSION
    """How it is started."""

    async def start(self, directory: Path) -> Watch:
        """Starts the process of a ward's directory. Raises FarshoreError or OSError; none runs then."""
        return await self.launch.start(self.name, directory, self.command)

    def log(self, directory: Path) -> str:
        """Where its last words are, for people."""
        return self.launch.log(self.name, directory)


ENGINE = Program("engine", ENGINE_COMMAND, "copy", "its volumes are not served", reloads=True)
DEVICE = Program(
    "device", DEVICE_COMMAND, "id", "what is opened through it gets errors", reloads=True, refuses=True
)
