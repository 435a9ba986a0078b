"""What may be paid with here, and where: the configured networks and assets, ready to be looked up.

Made once from the settings. It never asks a node or the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.core.addresses import BitcoinVault, EvmVault, Vault
from holdfast.core.errors import BadInput
from holdfast.core.money import Asset, AssetId, parse_units
from holdfast.core.networks import Network, NetworkId, NetworkUnknown
from holdfast.runtime.settings import NetworkSettings, Settings


class AssetNotListed(BadInput):
    """No configured network lists this asset. Use a CAIP-19 id that `GET /v1/assets` lists."""

    code = "asset-not-listed"


class NetworkWithoutVault(BadInput):
    """The network has no vault, so no address can be made on it. Configure its descriptor or factory."""

    code = "network-without-vault"


@dataclass(frozen=True, slots=True)
class ListedNetwork:
    """A configured network and what its deposits need."""

    network: Network
    settings: NetworkSettings
    vault: Vault | None
    assets: dict[AssetId, Asset]
    minimums: dict[AssetId, int]
    """Least units of a deposit that is credited; smaller ones cost more to spend than they are worth."""

    payout_fees: dict[AssetId, tuple[int, int]]
    """What a merchant pays for a payout and for each of its lines, where merchants pay."""
    standing_minimums: dict[AssetId, int]
    """Least that a standing order pays in a slot, where the settings say it."""

    @property
    def id(self) -> NetworkId:
        """Its CAIP-2 id."""
        return self.network.id

    def confirmations_for(self, asset: AssetId, units: int) -> int:
        """How many confirmations a deposit of so much needs."""
        return self.settings.confirmations_for(units, self.assets[asset])

    def payout_fee_units(self, asset: AssetId, lines: int) -> int:
        """What a payout with so many lines costs a merchant, where merchants pay."""
        payout, line = self.payout_fees.get(asset, (0, 0))
        return payout + line * lines


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every configured network and asset."""

    networks: dict[NetworkId, ListedNetwork]
    network_of: dict[AssetId, ListedNetwork]

    def asset(self, text: str) -> Asset:
        """The listed asset with this CAIP-19 id. Raises `AssetNotListed`."""
        return self.listing(text).assets[AssetId(text)]

    def listing(self, asset: str) -> ListedNetwork:
        """The network of a listed asset. Raises `AssetNotListed`."""
        listed = self.network_of.get(AssetId(asset))
        if listed is None:
            raise AssetNotListed(f"{asset[:120]!r}")
        return listed

    def network(self, text: str) -> ListedNetwork:
        """The configured network with this CAIP-2 id. Raises `NetworkUnknown`."""
        listed = self.networks.get(NetworkId(text))
        if listed is None:
            raise NetworkUnknown(f"{text[:80]!r} is not configured")
        return listed


def catalogue(settings: Settings) -> Catalogue:
    """The catalogue of a configuration."""
    return catalogue_of(settings.networks.values())


def catalogue_of(networks: Iterable[NetworkSettings]) -> Catalogue:
    """The catalogue of these networks."""
    listed = [_listed(settings) for settings in networks]
    return Catalogue(
        networks={one.id: one for one in listed},
        network_of={asset: one for one in listed for asset in one.assets},
    )


def _listed(settings: NetworkSettings) -> ListedNetwork:
    assets = {asset.symbol: asset for asset in settings.assets.values()}

    def units(symbol: str, text: str) -> int:
        return parse_units(text, assets[symbol].decimals)

    def units_of(texts: dict[str, str]) -> dict[AssetId, int]:
        return {assets[symbol].id: units(symbol, text) for symbol, text in texts.items()}

    return ListedNetwork(
        network=settings.network,
        settings=settings,
        vault=_vault(settings),
        assets=settings.assets,
        minimums=units_of(settings.minimum_deposits),
        payout_fees={
            assets[symbol].id: (units(symbol, fee.payout), units(symbol, fee.line))
            for symbol, fee in settings.payout_fees.items()
        },
        standing_minimums=units_of(settings.standing_minimums),
    )


def _vault(settings: NetworkSettings) -> Vault | None:
    if settings.is_bitcoin:
        return BitcoinVault(settings.descriptor) if settings.descriptor else None
    if settings.factory and settings.implementation and settings.vault:
        return EvmVault(settings.factory, settings.implementation, settings.vault)
    return None
