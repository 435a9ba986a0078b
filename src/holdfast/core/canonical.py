"""One text for one value: JSON as RFC 8785 writes it, so that what is signed has exactly one form.

Only what Holdfast signs: objects, arrays, strings, booleans, null and integers that every reader keeps. No fractions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from holdfast.core.errors import BadInput

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

T = TypeVar("T", bound=msgspec.Struct)

INTEGER_MAX = 2**53 - 1
"""Beyond it some readers round (RFC 7493, section 2.2). Larger amounts are written as strings."""

DOCUMENT_BYTES_MAX = 65_536
_DEPTH_MAX = 32


class DocumentNotCanonical(BadInput):
    """The document is not JSON in its canonical form, so nothing signed it. Use the very bytes that were signed."""

    code = "document-not-canonical"


def canonical(value: Json) -> bytes:
    """The value's canonical bytes (RFC 8785). Raises `DocumentNotCanonical` for what cannot be written exactly."""
    text = json.dumps(_ordered(value, 0), ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DocumentNotCanonical("a string has half a surrogate pair") from None


def parse(document: bytes) -> Json:
    """The value whose canonical bytes these are, and no others: no doubled key, no other order, no white space.

    Raises `DocumentNotCanonical`.
    """
    if len(document) > DOCUMENT_BYTES_MAX:
        raise DocumentNotCanonical(f"{len(document)} bytes are more than {DOCUMENT_BYTES_MAX}")
    try:
        value: Json = json.loads(document, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DocumentNotCanonical(str(error)[:120]) from None
    if canonical(value) != document:
        raise DocumentNotCanonical("it is JSON, but written in another way than the canonical one")
    return value


def _ordered(value: Json, depth: int) -> Json:
    if depth > _DEPTH_MAX:
        raise DocumentNotCanonical(f"more than {_DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return {name: _ordered(value[name], depth + 1) for name in names}
    if isinstance(value, list | tuple):
        return [_ordered(one, depth + 1) for one in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if type(value) is int and abs(value) <= INTEGER_MAX:
        return value
    raise DocumentNotCanonical(f"{value!r:.40} is not an integer below 2^53")


def _refuse(text: str) -> None:
    raise DocumentNotCanonical(f"{text[:40]} is not an integer")


def write(value: msgspec.Struct) -> bytes:
    """A struct's canonical bytes. Fields named `…units` are amounts: integers of any size, written as decimal strings.

    Raises `DocumentNotCanonical`.
    """
    return canonical(_plain(msgspec.to_builtins(value), is_amount=False))


def read(document: bytes, kind: type[T], bytes_max: int = DOCUMENT_BYTES_MAX) -> T:
    """The struct whose canonical bytes these are, and no others. Raises `DocumentNotCanonical`."""
    if len(document) > bytes_max:
        raise DocumentNotCanonical(f"{len(document)} bytes are more than {bytes_max}")
    try:
        # Amounts come as strings, which only the lax reading takes; what else it takes is written otherwise below.
        value = msgspec.convert(json.loads(document, parse_float=_refuse, parse_constant=_refuse), kind, strict=False)
    except (ValueError, RecursionError) as error:
        raise DocumentNotCanonical(str(error)[:160]) from None
    if write(value) != document:
        raise DocumentNotCanonical("it is JSON, but written in another way than the canonical one")
    return value


def _plain(value: Json, *, is_amount: bool) -> Json:
    if isinstance(value, Mapping):
        return {name: _plain(one, is_amount=name.endswith("units")) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, is_amount=is_amount) for one in value]
    return str(value) if is_amount and type(value) is int else value
