"""Opens a connection to another node's peer port: TCP, the preface, then TLS; gives a conversation."""

from __future__ import annotations

import asyncio
import socket
import ssl

from farshore.errors import FarshoreError
from farshore.node import addresses
from farshore.node.conversation import Conversation, network_error
from farshore.node.tls import HANDSHAKE_SECONDS
from farshore.wire import preface

CONNECT_SECONDS = 5.0


async def dial(address: str, kind: preface.PrefaceKind, context: ssl.SSLContext) -> Conversation:
    """Connects within `CONNECT_SECONDS` plus the handshake.

    Raises FarshoreError `unreachable`, `timeout`, `unknown-peer` or `usage`.
    """
    goal = addresses.parse(address)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await _connect(goal)
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(connection, preface.encode(preface.Preface(kind)))
            except BaseException:
                connection.close()
                raise
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=context, server_hostname="", ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    except TimeoutError as error:
        raise FarshoreError(
            "timeout",
            f"{address} did not answer within {CONNECT_SECONDS:g} s",
            means="nothing was changed there",
            next_step="see whether that node runs, and whether a firewall drops connections to it",
        ) from error
    except OSError as error:
        raise network_error(error, address) from error
    return Conversation(reader, writer)


async def _connect(goal: addresses.Address) -> socket.socket:
    """The first of the host's addresses that takes the connection. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(goal.host, goal.port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _, where in found:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, where)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure or OSError(f"{goal.host} has no address")
