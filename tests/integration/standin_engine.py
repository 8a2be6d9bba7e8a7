"""A stand-in for an engine where a test is about the node: it speaks the control protocol and nothing else.

It holds the copy's lock, writes down what it was asked in DIR/asked (one JSON object per line) and writes
"adopted" into a socket that it is handed. Once paused, its links stay so. It takes no link named `refused`,
or as DIR/refuses says. Whatever it is, it holds everything up to sequence 7, and its links replicate; as a
primary it is fenced as long as DIR/fenced names its last turn, and it does not start as one while there is
DIR/unfit, which says whether it has turned by then (`primary`) or not (`secondary`). What it answers to
`drain` while there is DIR/stutters makes no sense. Its volumes grow as it is told, unless there is DIR/older
or DIR/full; DIR/state is the state of its links. A volume named `broken` makes it fail to start as an engine
does; one named `mute` makes it hold the lock and never answer. With one named `late` it takes a socket, says
nothing until the node has given up waiting, and serves the socket on.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.wire import control

LOOK = {
    "layer": "77" * 16,
    "name": "noon",
    "kind": "snapshot",
    "position": ["00" * 16, 5],
    "time": "2026-01-01T00:00:00Z",
    "undone_bytes": 10,
    "undone_seconds": 1.0,
    "rescue_bytes": 10,
    "store_free_bytes": 20,
}
"""Where a rewind of any copy would lead."""


class StandIn:
    document = "copy.json"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = json.loads((directory / self.document).read_text())
        self.lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)
        self.stopping = False
        self.events = [{"id": 1, "time": "2026-01-01T00:00:00Z", "kind": "up", "text": "up", "fields": {}}]

    def run(self) -> None:
        names = [volume["name"] for volume in self.config["volumes"]]
        if "broken" in names:
            error = FarshoreError("faulted", "the disk is broken", next_step="mend it")
            (self.directory / "failure.json").write_text(json.dumps(error.as_dict()))
            raise SystemExit(1)
        unfit = self.directory / "unfit"
        if unfit.exists() and self.config["role"] == "primary":
            error = FarshoreError("not-promotable", "it lost power", next_step="promote another one")
            role = unfit.read_text()
            turn = self.config["turn"]["id"] if role == "primary" else ""
            left = error.as_dict() | {"role": role, "turn": turn}
            (self.directory / "failure.json").write_text(json.dumps(left))
            raise SystemExit(1)
        (self.directory / "failure.json").unlink(missing_ok=True)
        if "mute" in names:
            signal.pause()
        self.listen()

    def listen(self) -> None:
        path = Path(self.config["control"])
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as ready:
            door.bind(str(path))
            door.listen()
            ready.register(door, selectors.EVENT_READ)
            while not self.stopping:
                ready.select()
                connection, _ = door.accept()
                with connection, contextlib.suppress(OSError):  # a node that went away is no concern of ours
                    connection.settimeout(5)
                    self.serve(connection)
            path.unlink()

    def serve(self, connection: socket.socket) -> None:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
        decoder = control.Decoder()
        while data:
            for message in decoder.feed(data):
                request = control.as_request(message)
                with (self.directory / "asked").open("a") as file:
                    file.write(json.dumps({"op": request.op, **request.args}) + "\n")
                if request.op == "adopt" and "late" in [each["name"] for each in self.config["volumes"]]:
                    self.serve_on(connection, descriptors[0])
                    return
                try:
                    reply = control.Reply(request.id, self.answer(request, descriptors))
                except FarshoreError as error:
                    reply = control.Reply(request.id, error=error)
                connection.sendall(control.encode_reply(reply))
            data = connection.recv(1 << 16)

    def serve_on(self, connection: socket.socket, descriptor: int) -> None:
        with socket.socket(fileno=descriptor) as adopted:
            adopted.settimeout(10)
            adopted.sendall(b"adopted ")
            assert connection.recv(1) == b"", "the node has given up"
            adopted.sendall(b"heard " + adopted.recv(100))

    def answer(self, request: control.Request, descriptors: list[int]) -> dict[str, Any]:
        config = self.config
        if request.op == "hello":
            return {"pid": os.getpid(), "copy": config["copy"], "role": config["role"], "versions": [1]}
        if request.op == "status":
            names = {"name": config["group_name"], "id": config["group"], "role": config["role"]}
            paused = (self.directory / "paused").exists()
            standing = ("logging", "operator") if paused else ("replicating", "in-order")
            state = self.directory / "state"
            standing = (state.read_text(), "update") if state.exists() else standing
            links = [
                {"name": link["spec"]["name"], "state": standing[0], "reason": standing[1]}
                for link in config["links"]
            ]
            volumes = [{"name": each["name"], "size": self.size(each)} for each in config["volumes"]]
            known = {"health": "protected", "links": links, "volumes": volumes}
            away = self.directory / "not-exported"
            if away.exists():
                known["not_exported"] = [{"address": away.read_text(), "why": "it is not at this host"}]
            return {"group": {**names, **known, **self.standing()}}
        if request.op in ("make-room", "resize"):
            return self.grow(request)
        if request.op == "reload":
            fresh = json.loads((self.directory / "copy.json").read_text())
            refuses = self.directory / "refuses"
            name = refuses.read_text() if refuses.exists() else "refused"
            if any(link["spec"]["name"] == name for link in fresh["links"]):
                raise FarshoreError("wrong-state", "not now")
            if fresh["role"] != self.config["role"]:
                raise FarshoreError("wrong-state", "a role changes at a start")
            self.config = fresh
            return {"changed": []}
        if request.op == "adopt":
            with socket.socket(fileno=descriptors[0]) as adopted:
                adopted.sendall(b"adopted " + bytes.fromhex(str(request.args["preface"])))
            return {}
        if request.op == "events":
            return {
                "events": [e for e in self.events if int(str(e["id"])) >= int(str(request.args["since"]))]
            }
        if request.op == "pause":
            (self.directory / "paused").touch()
            position = {"generation": "00" * 16, "sequence": 7}
            return {
                "links": [
                    {"name": "b", "position": position, "time": "2026-01-01T00:00:00Z", "drained": True}
                ]
            }
        if request.op == "drain":
            if (self.directory / "stutters").exists():
                return {"position": "here"}
            durable = [{"name": link["spec"]["name"], "durable": 7} for link in config["links"]]
            return {"position": {"generation": "00" * 16, "sequence": 7}, "links": durable}
        if request.op == "rewind-look":
            return LOOK
        if request.op == "resync":
            return self.resync(request)
        if request.op == "stop":
            self.stopping = True
        return {}

    def resync(self, request: control.Request) -> dict[str, Any]:
        """What was asked for is written down."""
        if (self.directory / "busy").exists():
            raise FarshoreError("wrong-state", "the engine is not up yet")
        with (self.directory / "resyncs").open("a") as asked:
            asked.write(f"{request.args['kind']}\n")
        return {"links": [link["spec"]["name"] for link in self.config["links"]]}

    def size(self, volume: dict[str, Any]) -> int:
        """Of a volume that may have grown."""
        grown = self.directory / f"grown-{volume['id']}"
        return int(grown.read_text()) if grown.exists() else int(volume["size"])

    def grow(self, request: control.Request) -> dict[str, Any]:
        """Room is refused where there is none."""
        if (self.directory / "older").exists():
            raise FarshoreError("usage", f"an engine does not know the operation {request.op!r}")
        if (self.directory / "full").exists():
            raise FarshoreError("disk-full", "no room", next_step="make some")
        if request.op == "resize":
            (self.directory / f"grown-{request.args['volume']}").write_text(str(request.args["size"]))
        return {"volume": request.args["volume"], "size": request.args["size"]}

    def standing(self) -> dict[str, Any]:
        """What an engine says of its role."""
        turn = (self.config.get("turn") or {}).get("id")
        fenced, primary = self.directory / "fenced", self.config["role"] == "primary"
        fence = fenced.exists() and fenced.read_text() == str(turn)
        return {
            "turn": turn,
            "generation": "00" * 16,
            "sequence": 7,
            "durable": 7,
            "writes": "flowing" if primary and not fence else "refused",
            "fenced": "another one was promoted" if primary and fence else None,
            "promotable": True,
            "usable_as_of": "2026-01-01T00:00:00Z",
            "connected": False,
        }


if __name__ == "__main__":
    StandIn(Path(sys.argv[1])).run()
