"""The library: a node's REST interface as a Python class with typed answers.

`Node` is loaded when it is first asked for; the command line's quickest path uses the transport alone.
"""

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from farshore.client.node import Node

__all__ = ["Node"]


def __getattr__(name: str) -> object:
    if name == "Node":
        from farshore.client.node import Node

        return Node
    raise AttributeError(name)
