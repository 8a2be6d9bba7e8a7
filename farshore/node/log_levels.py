"""Has engines and devices log as the node does: the level stands in what each of them is told.

What is new is written with the node's level; here, at a node's start, what was written with another one is
written again, before anything is started or found. A process that runs already reads it when it is found.
"""

from __future__ import annotations

import logging

from farshore.errors import FarshoreError
from farshore.node.node import Node

_log = logging.getLogger(__name__)


def settle(node: Node) -> None:
    """Where it cannot be written, the process goes on with the level that it has."""
    for stored in node.copies.all():
        if stored.config.log_level != node.copies.log_level:
            try:
                node.put(stored)
            except FarshoreError as error:
                _log.warning("the %s keeps its level of logging: %s", stored.called, error)
    for device in node.devices.all():
        if device.config.log_level != node.devices.log_level:
            try:
                node.devices.put_again(device)
            except FarshoreError as error:
                _log.warning("the %s keeps its level of logging: %s", device.called, error)
