"""JSON documents as typed values: reads a document into a dataclass by the class's own annotations.

Keys that the class does not know are left alone, since documents are append-only and a node may be newer
than its client. A key that is missing takes the field's default, or None where the annotation allows that;
anything else is an error that names the key. Understands what the models in `answers` use and no more.
"""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from farshore.errors import FarshoreError

T = TypeVar("T")

DOCUMENT_FIELD = "document"
"""A field of this name receives the whole document as it came."""


def read(kind: type[T], value: object, where: str = "answer") -> T:
    """`value`, a parsed JSON object, as a `kind`. Raises FarshoreError `protocol`."""
    if not isinstance(value, Mapping):
        raise _malformed(where, "an object", value)
    given: dict[str, Any] = {}
    hints = _hints(cast("Hashable", kind))
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name == DOCUMENT_FIELD:
            given[field.name] = value
        elif field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            given[field.name] = _read(hints[field.name], None, f"{where}.{field.name}")
    return kind(**given)


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(each for each in get_args(hint) if each is not types.NoneType), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _malformed(where, "a list", value)
        return tuple(_read(get_args(hint)[0], each, f"{where}[{n}]") for n, each in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _malformed(where, "an object", value)
        return dict(value)
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _malformed(where, f"of type {hint.__name__}", value)
    return value


def _malformed(where: str, wanted: str, value: object) -> FarshoreError:
    return FarshoreError(
        "protocol",
        f"the node's {where} is not {wanted}: {value!r:.80}",
        means="nothing was changed by reading it",
        next_step="compare the versions of the command and the node: farshore --version; farshore node show",
    )
