"""The part of a node's API that makes volumes, and snapshots of them, available to NBD clients."""

from __future__ import annotations

from typing import Any

from farshore.client import answers
from farshore.client.calls import Calls
from farshore.client.documents import read


class NodeExports(Calls):
    """What `Node` has of this; it sends the requests."""

    def exports(self) -> answers.Exports:
        """What NBD clients can open at this node."""
        return read(answers.Exports, self.call("GET", "/v1/exports"))

    def create_export(
        self, group: str, volume: str | None = None, *, tcp: str | None = None, **how: Any
    ) -> answers.Exports:
        """Makes a volume, or all of a group, available to NBD clients. `how`: `read_only`; `snapshot`, the
        name of the one that is to be shown; `copy_name`, where the node holds several copies; on `tcp` also
        `tls`, and `names`, further names by which clients reach this host."""
        body = {"group": group, "volume": volume, "tcp": tcp, **how}
        return read(answers.Exports, self.call("POST", "/v1/exports", body))

    def delete_export(
        self, group: str, volume: str | None = None, *, tcp: str | None = None, **which: Any
    ) -> None:
        """Takes exports back. `which`: `snapshot` and `copy_name`, as for making them."""
        query = {"group": group, "volume": volume, "tcp": tcp, **which}
        self.call("DELETE", "/v1/exports", query=query)

    def export_clients(self, group: str) -> answers.ExportClients:
        """Who may open the group's exports over TLS."""
        return read(answers.ExportClients, self.call("GET", "/v1/exports/clients", query={"group": group}))

    def allow_export_client(self, group: str, client: str) -> answers.ClientCertificate:
        """Lets a client in; its key exists in the answer alone."""
        body = {"group": group, "client": client}
        return read(answers.ClientCertificate, self.call("POST", "/v1/exports/clients", body))

    def disallow_export_client(self, group: str, client: str) -> None:
        """Takes that back, and ends the client's connections."""
        self.call("DELETE", "/v1/exports/clients", query={"group": group, "client": client})
