"""Shapes that several resources share: pages, texts with limits, and how a request's page is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct

Item = TypeVar("Item", bound=Struct)

MerchantId: TypeAlias = Annotated[
    str, Meta(description="Id of a merchant.", examples=["mer_01k9zq4w6t5v3n8r7x2yfgh1jk"])
]
AssetText: TypeAlias = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=160,
        description="CAIP-19 id of an asset.",
        examples=["bip122:12a765e31ffd4059bada1e25190f6e98/slip44:2"],
    ),
]
NetworkText: TypeAlias = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=80,
        description="CAIP-2 id of a network.",
        examples=["bip122:12a765e31ffd4059bada1e25190f6e98"],
    ),
]
DecimalText: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]{0,77})(\.[0-9]{1,36})?$",
        max_length=115,
        description="A decimal number as text: digits with at most one point.",
        examples=["12.50"],
    ),
]
UnitsText: TypeAlias = Annotated[
    str, Meta(description="A whole number of the asset's smallest unit, as text.", examples=["1250000"])
]

IdPath: TypeAlias = Annotated[str, PathParameter(max_length=64, pattern="^[0-9a-z_]+$", description="An id of ours.")]
NetworkPath: TypeAlias = Annotated[str, PathParameter(max_length=80, pattern="^[0-9a-z:]+$", description="CAIP-2 id.")]
AddressPath: TypeAlias = Annotated[
    str, PathParameter(max_length=128, pattern="^[0-9A-Za-z]+$", description="The address in its canonical form.")
]
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL keeps every character but this one."""

PAGE_SIZE_MAX = 200
After: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="after",
        max_length=64,
        pattern="^[0-9a-z_]+$",
        description="`next` of the page before; newest come first.",
    ),
]
AfterNumber: TypeAlias = Annotated[
    int | None,
    QueryParameter(name="after", ge=0, le=2**63 - 1, description="`next` of the page before; newest come first."),
]
Limit: TypeAlias = Annotated[
    int, QueryParameter(name="limit", ge=1, le=PAGE_SIZE_MAX, description="Most items of a page.")
]


class Page(Struct, Generic[Item], frozen=True):
    """One page of a list."""

    items: list[Item]
    next: Annotated[str | None, Meta(description="Send it as `after` for the next page; null: there is none.")]


def page_of(items: Sequence[Item], limit: int, cursor: str) -> Page[Any]:
    """A page of what was found when one more than `limit` was asked for. `cursor`: the field that names an item."""
    shown = list(items[:limit])
    more = len(items) > limit
    return Page(items=shown, next=str(getattr(shown[-1], cursor)) if more else None)
