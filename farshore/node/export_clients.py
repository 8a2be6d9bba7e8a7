"""Who may open a group's exports over TLS: named clients, each with a certificate that was made for it.

A client holds for all TLS exports of its group, those that are made later too. The engine is told before
the certificate is handed over, and before a client counts as gone, when its connections are closed. To take
a client back needs no engine: one that does not run has no connections, and goes by the new list when it
starts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportClient
from farshore.node import export_certificates, exports, groups, names
from farshore.node.node import Node


async def allow(node: Node, group: str, client: str) -> dict[str, Any]:
    """Lets a client in; the document holds its key, which is kept nowhere. Raises FarshoreError."""
    names.check("client", client)
    async with node.changing(group):
        stored = groups.held(node, group)
        if any(each.name == client for each in stored.config.export_clients):
            raise FarshoreError(
                "exists",
                f"{group} has a client {client!r} already",
                means="nothing was changed; its certificate was handed over when it was made",
                next_step=f"farshore export disallow {group} {client}, then allow it again",
            )
        issued = export_certificates.issue(stored.directory, group, client)
        allowed = (*stored.config.export_clients, ExportClient(client, issued.fingerprint))
        await exports.carry_out(node, stored, replace(stored.config, export_clients=allowed))
    text = f"{client} may open {group} over TLS"
    node.journal.add("export-client-allowed", text, group=group, client=client)
    return {
        "client": client,
        "fingerprint": issued.fingerprint,
        "authority": issued.authority,
        "certificate": issued.certificate,
        "key": issued.key,
    }


async def disallow(node: Node, group: str, client: str) -> None:
    """Ends what a client may do, and its connections. Raises FarshoreError; where an engine did not follow,
    the client is taken back all the same from its next start on."""
    async with node.changing(group):
        stored = groups.held(node, group)
        left = tuple(each for each in stored.config.export_clients if each.name != client)
        if len(left) == len(stored.config.export_clients):
            raise FarshoreError(
                "not-found",
                f"{group} has no client {client!r}",
                means="nothing was changed",
                next_step=f"farshore export clients {group} shows them",
            )
        await exports.carry_out_for_good(node, stored, replace(stored.config, export_clients=left))
    text = f"{client} may no longer open {group} over TLS"
    node.journal.add("export-client-disallowed", text, group=group, client=client)


def listed(config: CopyConfig) -> list[dict[str, Any]]:
    """The clients of a group."""
    return [{"name": each.name, "fingerprint": each.fingerprint} for each in config.export_clients]
