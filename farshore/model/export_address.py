"""How an NBD client names an export: the URI of the NBD project's own scheme.

`nbd+unix:///VOLUME?socket=PATH` for a Unix socket, `nbd://HOST:PORT/VOLUME` for TCP in the clear, and
`nbds://HOST:PORT/VOLUME` for TCP with TLS. Pure; node and engine both say addresses in these words.
"""

from __future__ import annotations

from urllib.parse import quote

from farshore.model.copy_config import ExportIntent


def uri_of(export: ExportIntent, volume: str, tcp: str | None = None) -> str:
    """What a client opens. `tcp`: HOST:PORT where it reaches an export that listens on all addresses."""
    name = quote(volume, safe="")
    if export.tcp is None:
        return f"nbd+unix:///{name}?socket={quote(export.unix or '', safe='/')}"
    return f"{'nbds' if export.tls else 'nbd'}://{tcp or export.tcp}/{name}"
