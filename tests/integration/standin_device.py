"""A stand-in for a device's process where a test is about the node: it mounts nothing.

It speaks the control protocol. While DIR/in-use is there it refuses to stop, and while DIR/stuck is there it
does not even say so; DIR/state, where it is, says what it tells of itself. For a volume named `unfit` it
fails to start.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.wire import control
from tests.integration.standin_engine import StandIn


class DeviceStandIn(StandIn):
    document = "device.json"

    def run(self) -> None:
        if self.config["volume"] == "unfit":
            error = FarshoreError("permission", "/dev/fuse cannot be opened", next_step="ls -l /dev/fuse")
            (self.directory / "failure.json").write_text(json.dumps(error.as_dict()))
            raise SystemExit(1)
        (self.directory / "failure.json").unlink(missing_ok=True)
        self.listen()

    def answer(self, request: control.Request, descriptors: list[int]) -> dict[str, Any]:
        if request.op == "hello":
            return {"pid": os.getpid(), "id": self.config["id"], "versions": [1]}
        if request.op == "status":
            told = self.directory / "state"
            state = told.read_text() if told.exists() else "attached"
            return {
                "state": state,
                "path": "/dev/loop77",
                "held": 0,
                "locked": True,
                "flusher": "not permitted",
            }
        if request.op == "stop" and (self.directory / "stuck").exists():
            signal.pause()
        if request.op == "stop":
            if (self.directory / "in-use").exists():
                raise FarshoreError("in-use", "/dev/loop77 is mounted at /mnt", next_step="umount /mnt")
            self.stopping = True
        return {}


if __name__ == "__main__":
    DeviceStandIn(Path(sys.argv[1])).run()
