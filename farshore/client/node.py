"""A node as a Python object: each method is one request of the REST interface.

Blocking, thread-safe (no state but the address) and without any retry: whoever wants to wait asks again.
Every failure is a FarshoreError whose code is that of the catalogue, so that a script meets the same codes
as somebody at the terminal. Which node is meant follows `farshore.config`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from farshore import config
from farshore.client import answers, transport
from farshore.client.documents import read
from farshore.client.drills import NodeDrills
from farshore.client.exports import NodeExports
from farshore.client.rescues import Rescues
from farshore.client.role_moves import RoleMove, RoleMoves
from farshore.client.snapshots import SnapshotCalls
from farshore.client.volumes import Volumes
from farshore.errors import CODES, FarshoreError

_UNAFFECTED = "engines run on without their node: writes and replication are not affected"
_LONGEST_ASKING = 10.0
_LONGEST_WAIT = 30.0  # seconds that a node lets one request for events wait
_ATTACHING = 60.0  # seconds that the processes of a group's devices may take to start or to end
_REPAIR_SECONDS = 600.0  # seconds that a disk and a peer may take for what could not be read


class Node(RoleMoves, NodeExports, NodeDrills, Rescues, SnapshotCalls, Volumes):
    """The node that `state`, `api` or the environment mean. `timeout`: seconds for each request."""

    def __init__(self, state: str | None = None, api: str | None = None, *, timeout: float = 60.0) -> None:
        self._target = config.Target(state, api)
        self._timeout = timeout

    @property
    def address(self) -> str:
        """`unix:PATH` or `HOST:PORT`. Raises FarshoreError `unreachable`, `permission` or `state-damaged`."""
        try:
            return config.api_of(self._target, os.environ, os.geteuid())
        except FileNotFoundError as error:
            raise FarshoreError(
                "unreachable",
                f"no node has been started with the state directory {self.state}",
                means="nothing is replicated from or to that directory",
                next_step=f"farshore node start --state {self.state}; or choose another with --state",
            ) from error
        except PermissionError as error:
            raise self._permission(error) from error
        except (OSError, ValueError) as error:
            raise FarshoreError(
                "state-damaged",
                f"the node's address cannot be read from {self.state}: {error}",
                means=_UNAFFECTED,
                next_step="farshore doctor; or name the node's address with --api",
            ) from error

    @property
    def state(self) -> str:
        """The state directory that is meant, whether or not it exists."""
        return config.state_of(self._target, os.environ, os.geteuid())

    # -- the node and its peers

    def show(self) -> answers.NodeInfo:
        """The node itself, its engines and its peers."""
        return read(answers.NodeInfo, self.call("GET", "/v1/node"))

    def stop(self, *, engines: bool = False, devices: bool = False) -> None:
        """Ends the node; engines and devices too only if asked for. Devices in use refuse it (`in-use`)."""
        self.call("POST", "/v1/node/stop", {"engines": engines, "devices": devices})

    def rotate_key(self) -> Mapping[str, Any]:
        """Would give the node a new key; nodes of this version refuse it (`wrong-state`)."""
        return self.call("POST", "/v1/node/rotate-key", {})

    def invite(self, ttl: float = 600.0) -> answers.Invitation:
        """A token with which one other node can join within `ttl` seconds."""
        return read(answers.Invitation, self.call("POST", "/v1/node/invite", {"ttl": ttl}))

    def join(self, address: str, token: str) -> answers.Joined:
        """Pairs with the node at `address` that made the token."""
        return read(answers.Joined, self.call("POST", "/v1/node/join", {"address": address, "token": token}))

    def peers(self) -> answers.Peers:
        """The nodes that this one has paired with."""
        return read(answers.Peers, self.call("GET", "/v1/nodes"))

    def set_peer(self, name: str, *, address: str | None = None, max_rate: int | None = None) -> None:
        """Changes where a peer is reached, or how many bytes per second may be sent to it (0: no bound);
        under the node's own name, how many it may send in all."""
        wanted = {"address": address, "max_rate": max_rate}
        body = {key: value for key, value in wanted.items() if value is not None}
        self.call("PATCH", _path("nodes", name), body)

    def forget(self, name: str) -> None:
        """Ends the pairing with a peer."""
        self.call("DELETE", _path("nodes", name))

    def allow(self, name: str, path: str) -> None:
        """Lets a peer place copies where `path`, a glob, matches."""
        self.call("POST", _path("nodes", name, "grants"), {"path": path})

    def disallow(self, name: str, path: str) -> None:
        """Takes a grant back; copies that exist stay."""
        self.call("DELETE", _path("nodes", name, "grants"), query={"path": path})

    def network_changed(self) -> None:
        """Tells the node that a line may be back: it tries its peers at once."""
        self.call("POST", "/v1/network-changed", {})

    def doctor(self) -> answers.Checks:
        """What the node finds about itself."""
        return read(answers.Checks, self.call("GET", "/v1/doctor"))

    # -- groups, links

    def groups(self) -> Mapping[str, Any]:
        """All groups of this node, as intent."""
        return self.call("GET", "/v1/groups")

    def group(self, name: str) -> Mapping[str, Any]:
        """One group, as intent."""
        return self.call("GET", _path("groups", name))

    def create_group(
        self,
        name: str,
        volumes: Sequence[Mapping[str, Any]],
        *,
        region: int | None = None,
        on_start: str | None = None,
    ) -> Mapping[str, Any]:
        """Each volume: `name`, `path`, and optionally `size` in bytes and `outage`."""
        body = {"name": name, "volumes": list(volumes), "region": region, "on_start": on_start}
        return self.call("POST", "/v1/groups", _given(body))

    def delete_group(self, name: str) -> None:
        """Forgets a group at this node; the volumes stay as they are."""
        self.call("DELETE", _path("groups", name))

    def links(self, group: str) -> Mapping[str, Any]:
        """The links of a group."""
        return self.call("GET", _path("groups", group, "links"))

    def link(self, group: str, name: str) -> Mapping[str, Any]:
        """One link."""
        return self.call("GET", _path("groups", group, "links", name))

    def create_link(
        self,
        group: str,
        peer: str,
        *,
        name: str | None = None,
        places: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """`options`: fields of `farshore.model.options.LinkOptions`; `places`: volume name to path there."""
        body = {"peer": peer, "name": name, "places": dict(places or {}), "options": dict(options or {})}
        return self.call("POST", _path("groups", group, "links"), _given(body), extra=_LONGEST_ASKING)

    def create_hop(self, group: str, peer: str, via: str, **wish: Any) -> Mapping[str, Any]:
        """A link from the copy at `via`, NODE or NODE/COPY, in place of the copy here; `name`, `places` and
        `options` as for `create_link`."""
        body = _given({"peer": peer, "via": via, **wish})
        return self.call("POST", _path("groups", group, "links"), body, extra=_LONGEST_ASKING * 2)

    def reroute_link(self, group: str, name: str, via: str) -> Mapping[str, Any]:
        """Has the far copy of a link fed by the copy at `via`, NODE or NODE/COPY, from now on."""
        path = _path("groups", group, "links", name, "reroute")
        return self.call("POST", path, {"via": via}, extra=_LONGEST_ASKING * 4)

    def set_link(self, group: str, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Changes options of a link."""
        path = _path("groups", group, "links", name)
        return self.call("PATCH", path, {"options": dict(options)}, extra=_LONGEST_ASKING)

    def delete_link(self, group: str, name: str) -> bool:
        """Removes a link and the peer's knowledge of it; the peer's volumes stay as they are.

        False where the peer could not be told: it goes on holding its copy, which nobody feeds.
        """
        path = _path("groups", group, "links", name)
        return bool(self.call("DELETE", path, extra=_LONGEST_ASKING * 4).get("peer_told", True))

    # -- devices

    def devices(self) -> answers.Devices:
        """Every volume that is attached here."""
        return read(answers.Devices, self.call("GET", "/v1/devices"))

    def attach_device(self, group: str, volume: str | None = None, **wish: Any) -> answers.Devices:
        """Attaches a volume, or all of a group; returns when programs can use it. `wish`: `at`, `way`,
        `hold` in seconds, `read_only`."""
        body = _given({"group": group, "volume": volume, **wish})
        return read(answers.Devices, self.call("POST", "/v1/devices", body, extra=_ATTACHING))

    def detach_device(self, group: str, volume: str | None = None) -> answers.Devices:
        """Detaches a volume, or all of a group; a device that is in use stays (`in-use`)."""
        query = {"group": group, "volume": volume}
        return read(answers.Devices, self.call("DELETE", "/v1/devices", query=query, extra=_ATTACHING))

    # -- state and what changes it

    def status(self, group: str | None = None) -> answers.Status:
        """The state of every group, or of one."""
        return read(answers.Status, self.call("GET", "/v1/status", query={"group": group}))

    def topology(self, group: str | None = None) -> Mapping[str, Any]:
        """Which nodes hold copies of every group here, or of one, and what feeds what: the document."""
        return self.call("GET", "/v1/topology", query={"group": group}, extra=_LONGEST_ASKING)

    def pause(
        self, group: str, *, link: str | None = None, drain: bool = True, timeout: float = 30.0
    ) -> answers.Pauses:
        """Stops sending and logs; drains for up to `timeout` seconds first."""
        body = {"link": link, "drain": drain, "timeout": timeout}
        return read(answers.Pauses, self.call("POST", _path("groups", group, "pause"), body, extra=timeout))

    def resync(
        self,
        group: str,
        *,
        link: str | None = None,
        kind: str = "update",
        once: bool = False,
        unprotected: bool = False,
    ) -> answers.Started:
        """Starts a resync and returns; `kind` is update, full or digest. `unprotected`: also where the peer
        cannot keep what it overwrites."""
        bare = {"unprotected": True} if unprotected else {}
        body = {"link": link, "kind": kind, "once": once, **bare}
        return read(answers.Started, self.call("POST", _path("groups", group, "resync"), body))

    def repair_plan(self, group: str) -> RoleMove:
        """What `repair` would do with the copies of the group there; changes nothing."""
        return read(RoleMove, self.call("GET", _path("groups", group, "repair")))

    def repair(self, group: str, accept: str | None = None) -> RoleMove:
        """Brings a group's copies there back after a disk error; the plan only, where it needs acceptance."""
        path, body = _path("groups", group, "repair"), _given({"accept": accept})
        return read(RoleMove, self.call("POST", path, body, extra=_REPAIR_SECONDS))

    def verify(
        self, group: str, *, link: str | None = None, halt: bool = False, max_rate: int = 0
    ) -> answers.Started:
        """Begins to compare peers' copies with this node's and returns; `max_rate` in bytes per second, 0 for
        no bound; with `halt` the first difference stops its link."""
        body = {"link": link, "halt": halt, "max_rate": max_rate}
        return read(answers.Started, self.call("POST", _path("groups", group, "verify"), body))

    def end_verify(self, group: str, *, link: str | None = None) -> answers.Started:
        """Ends the verifies that are under way; the links of which there were any."""
        return read(
            answers.Started, self.call("POST", _path("groups", group, "verify", "stop"), {"link": link})
        )

    def schedule_verify(self, group: str, every: float, *, link: str | None = None) -> answers.Started:
        """Has links verified each `every` seconds; 0 ends that."""
        body = {"link": link, "every": every}
        return read(answers.Started, self.call("POST", _path("groups", group, "verify", "schedule"), body))

    def repair_found(self, group: str, *, link: str | None = None, accept: str | None = None) -> RoleMove:
        """Shows the plan of a repair of what a verify has found, or carries it out if `accept` is its id."""
        body = {"link": link, "accept": accept}
        return read(RoleMove, self.call("POST", _path("groups", group, "verify", "repair"), body))

    def events(self, since: int = 0, *, wait: float = 0.0) -> answers.Events:
        """Events after id `since`; with none there, waits up to `wait` seconds (at most 30) for one."""
        wait = min(wait, _LONGEST_WAIT)
        query = {"since": since, "wait": f"{wait:g}"}
        return read(answers.Events, self.call("GET", "/v1/events", query=query, extra=wait))

    # -- one request

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        extra: float = 0.0,
    ) -> Mapping[str, Any]:
        """One request; the answer's JSON object, empty for none. `extra`: seconds beyond the timeout."""
        address = self.address
        content = None if body is None else json.dumps(body).encode()
        try:
            status, answer = transport.request(
                address, method, transport.target(path, query), content, self._timeout + extra
            )
        except PermissionError as error:
            raise self._permission(error) from error
        except TimeoutError as error:
            raise FarshoreError(
                "unreachable",
                f"the node at {address} did not answer within {self._timeout + extra:g} s",
                means=f"it may still carry out what was asked; {_UNAFFECTED}",
                next_step="farshore status; farshore doctor",
            ) from error
        except OSError as error:
            raise FarshoreError(
                "unreachable",
                f"no node answers at {address}: {error.strerror or error}",
                means=_UNAFFECTED,
                next_step=f"farshore node start --state {self.state}; then farshore status",
            ) from error
        except ValueError as error:
            raise FarshoreError("protocol", f"what answers at {address} is not a node: {error}") from error
        return _outcome(status, answer)

    def _permission(self, error: OSError) -> FarshoreError:
        return FarshoreError(
            "permission",
            f"this user may not speak to the node: {error.strerror}: {error.filename or self.state}",
            means=_UNAFFECTED,
            next_step="run the command as the user who started the node, or choose another with --state",
        )


def _path(*segments: str) -> str:
    return "/v1/" + "/".join(transport.quoted(segment) for segment in segments)


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _outcome(status: int, answer: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(answer) if answer else {}
    except ValueError as error:
        if status >= 500:
            raise FarshoreError(
                "internal",
                f"the node failed to answer ({status})",
                means=f"what was asked for may be done in part; {_UNAFFECTED}",
                next_step="farshore status; the node's log has the details",
            ) from error
        raise FarshoreError(
            "protocol", f"the node answered {status} with no JSON: {answer[:80]!r}"
        ) from error
    if not isinstance(document, dict):
        raise FarshoreError("protocol", f"the node answered {status} with no JSON object")
    if status < 400:
        return document
    code = document.get("code")
    if code not in CODES:
        code = {400: "usage", 404: "not-found", 422: "usage"}.get(status, "internal")
    detail = document.get("detail") or document.get("title") or f"the node answered {status}"
    raise FarshoreError(
        code,
        detail if isinstance(detail, str) else json.dumps(detail),
        means=str(document.get("means") or ""),
        next_step=str(document.get("next") or ""),
    )
