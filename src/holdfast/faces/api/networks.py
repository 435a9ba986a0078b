"""`/v1/networks`: what may be paid with here, and how far each network has been followed."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from msgspec import Meta, Struct

from holdfast.core.money import Asset, format_units
from holdfast.faces.api.callers import KEY_ERRORS, any_key
from holdfast.faces.api.parts import Parts
from holdfast.faces.api.problems import refuses
from holdfast.payments import positions
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.indexes import vault_to_json
from holdfast.payments.positions import Position
from holdfast.runtime.settings import ConfirmationRule


class AssetBody(Struct, frozen=True):
    """A coin or token that may be paid with."""

    id: str
    symbol: str
    decimals: int
    minimum: Annotated[str | None, Meta(description="Least deposit that is credited, in whole coins; null: any.")]


class NetworkBody(Struct, frozen=True):
    """A network, and how far it has been followed."""

    id: str
    name: str
    is_test: Annotated[bool, Meta(description="Whether its coins are worth nothing.")]
    assets: list[AssetBody]
    confirmations: Annotated[
        list[ConfirmationRule], Meta(description="The first rule whose `below` is above the deposit.")
    ]
    vault: Annotated[dict[str, str] | None, Meta(description="Public data of the vault that addresses belong to.")]
    height: Annotated[int | None, Meta(description="Height up to which blocks have been applied; null: none yet.")]
    tip_height: int | None
    trouble: Annotated[str | None, Meta(description="Code of the error for which crediting waits; null: it does not.")]


class NetworksBody(Struct, frozen=True):
    """Every configured network."""

    items: list[NetworkBody]


@get("/", summary="List networks and assets", guards=[any_key()], responses=refuses(*KEY_ERRORS))
async def list_networks(parts: Parts) -> NetworksBody:
    """Every network that this platform follows, with its assets and where its follower stands."""
    async with parts.pool.connection() as conn:
        found = [(one, await positions.position(conn, one.id)) for one in parts.desk.catalogue.networks.values()]
    return NetworksBody([_shown(listed, position) for listed, position in found])


def _shown(listed: ListedNetwork, position: Position) -> NetworkBody:
    return NetworkBody(
        id=listed.id,
        name=listed.network.name,
        is_test=listed.network.is_test,
        assets=[_asset(listed, asset) for asset in listed.assets.values()],
        confirmations=listed.settings.confirmations,
        vault=vault_to_json(listed.vault) if listed.vault else None,
        height=position.cursor.height if position.cursor else None,
        tip_height=position.tip_height,
        trouble=position.trouble,
    )


def _asset(listed: ListedNetwork, asset: Asset) -> AssetBody:
    least = listed.minimums.get(asset.id)
    return AssetBody(
        asset.id, asset.symbol, asset.decimals, None if least is None else format_units(least, asset.decimals)
    )


router = Router("/v1/networks", route_handlers=[list_networks], tags=["Networks"])
