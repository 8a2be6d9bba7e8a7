"""An export in the words of the program that is to open it: a URI, options of QEMU, or an element of libvirt.

Each text is whole: pasted into the command line or the domain's description it opens the volume as a virtio
disk. On a Unix socket the guest outlives an engine that is away for a while: QEMU holds its requests for up
to ten minutes, libvirt halts it at the first error. Not on TCP: there the engine's whole machine can have
gone down and come back, with writes lost that the guest was told of and had not flushed, and a guest that
went on over it would never know. Pure; what the node said of the export is all there is to know.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from farshore.client.answers import Export

HOLD_SECONDS = 600
"""How long a guest's requests wait for an engine that is away."""
_LONGEST_NODE_NAME = 31  # QEMU's bound
_YES = '"yes"'


@dataclass(frozen=True, slots=True)
class Reader:
    """Who is to open it."""

    certificates: str | None = None
    """The directory with the client's certificates, for an export with TLS."""
    disks: int = 1
    """How many disks the guest has already, this command's earlier ones too."""


def text(kind: str, export: Export, reader: Reader) -> str:
    """`kind`: uri, qemu or libvirt."""
    return {"uri": uri, "qemu": qemu, "libvirt": libvirt}[kind](export, reader)


def uri(export: Export, reader: Reader) -> str:
    """For clients built on libnbd, and for QEMU where there is no TLS."""
    if export.tls and reader.certificates is not None:
        return f"{export.uri}?tls-certificates={quote(reader.certificates, safe='/')}"
    return export.uri


def qemu(export: Export, reader: Reader) -> str:
    """Options for QEMU's command line, quoted for a shell."""
    name = _node_name(export)
    options = {
        "driver": "nbd",
        "node-name": name,
        **_server(export),
        "export": export.volume,
        "discard": "unmap",
    }
    if export.tcp is None:
        options["reconnect-delay"] = str(HOLD_SECONDS)
    if export.read_only:
        options["read-only"] = "on"
    words: list[str] = []
    if export.tls:
        credentials = f"{name[: _LONGEST_NODE_NAME - 4]}-tls"
        options["tls-creds"] = credentials
        where = reader.certificates or "DIRECTORY"
        words += [
            "-object",
            _joined("tls-creds-x509", {"id": credentials, "dir": where, "endpoint": "client"}),
        ]
    words += ["-blockdev", _joined(None, options), "-device", _joined("virtio-blk-pci", {"drive": name})]
    return shlex.join(words)


def libvirt(export: Export, reader: Reader) -> str:
    """An element for <devices> of a domain. Certificates are a setting of the hypervisor's daemon."""
    halts = ' error_policy="stop" rerror_policy="stop"' if export.tcp is None else ""
    host = f'<host transport="unix" socket={quoteattr(export.unix or "")}/>'
    if export.tcp is not None:
        name, port = _host_and_port(export)
        host = f'<host name={quoteattr(name)} port="{port}"/>'
    lines = [
        '<disk type="network" device="disk">',
        f'  <driver name="qemu" type="raw" cache="none" discard="unmap"{halts}/>',
        f'  <source protocol="nbd" name={quoteattr(export.volume)}{" tls=" + _YES if export.tls else ""}>',
        f"    {host}",
        "  </source>",
        f'  <target dev="{_target(reader.disks)}" bus="virtio"/>',
        *(["  <readonly/>"] if export.read_only else []),
        "</disk>",
    ]
    return "\n".join(lines)


def _server(export: Export) -> dict[str, str]:
    if export.tcp is None:
        return {"server.type": "unix", "server.path": export.unix or ""}
    host, port = _host_and_port(export)
    return {"server.type": "inet", "server.host": host, "server.port": port}


def _host_and_port(export: Export) -> tuple[str, str]:
    """Where clients reach it, which is what the URI says."""
    found = re.fullmatch(r"nbds?://(\[[^]]+\]|[^:/]+):(\d+)/.*", export.uri)
    if found is None:
        raise ValueError(f"no host and port in {export.uri}")
    return found[1].strip("[]"), found[2]


def _target(number: int) -> str:
    """The name of a guest's disk, from 0 on: vda, vdb ... vdz, vdaa."""
    letters = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
        number -= 1
    return f"vd{letters}"


def _joined(kind: str | None, options: dict[str, str]) -> str:
    """As QEMU reads options: a comma within a value is written twice."""
    pairs = [f"{name}={value.replace(',', ',,')}" for name, value in options.items()]
    return ",".join([kind, *pairs] if kind else pairs)


def _node_name(export: Export) -> str:
    name = f"{export.group}-{export.volume}"
    if len(name) <= _LONGEST_NODE_NAME and name[0].isalpha():
        return name
    return "farshore-" + hashlib.sha256(name.encode()).hexdigest()[:16]
