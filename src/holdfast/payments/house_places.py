"""The company's own addresses on a network: where the float lies, and the vault's own that no merchant was given.

They come from the officers' orders in the mirrored journal and from the settings; all of them for ever, because money
may still lie at an old float's. Public data only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
from coincurve import PublicKey
from psycopg import AsyncConnection

from holdfast.core.addresses import BitcoinVault
from holdfast.core.descriptors import Branch, DescriptorMalformed, VaultDescriptor
from holdfast.core.evm import checksum, keccak256
from holdfast.core.networks import BitcoinNetwork, EvmNetwork
from holdfast.core.orders import FloatKey, Genesis, RotateFloat, read_order
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.indexes import vault_from_json

CHANGE_AHEAD = 200
"""Change addresses watched beyond the last one used: officers' drafts may skip some, never so many."""


@dataclass(frozen=True, slots=True)
class HousePlaces:
    """Our own addresses on one network."""

    floats: frozenset[str] = frozenset()
    """Float keys' own addresses, or Float contracts (EVM)."""
    owners: frozenset[str] = frozenset()
    """EVM: the float keys' accounts, which pay gas."""
    vault: dict[str, int | None] = field(default_factory=dict)
    """The vault's own addresses: of change by its index, others None; of EVM the Safes."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing can go out on this network."""
        return not self.floats

    def place_of(self, address: str | None) -> str | None:
        """`float`, `vault` or somebody else's: None."""
        if address in self.floats or address in self.owners:
            return "float"
        return "vault" if address in self.vault else None


async def house_places(conn: AsyncConnection[Any], listed: ListedNetwork) -> HousePlaces:
    """All of them as they are known now."""
    keys = await float_keys(conn, listed.id)
    floats, owners, vault = set[str](), set[str](), dict[str, int | None]()
    given = listed.settings.float
    if given is not None:
        floats.add(given.address)
        owners |= {given.owner} if given.owner else set()
        vault |= {given.vault_address: None} if given.vault_address else {}
    for key in keys:
        floats.add(key.address)
        vault.setdefault(key.vault, None)
        if isinstance(listed.network, EvmNetwork):
            owners.add(account_of(key.public_key))
    if isinstance(listed.network, EvmNetwork):
        vault |= dict.fromkeys(await _safes(conn, listed))
    else:
        used = await _change_used(conn, listed.id)
        for descriptor in await _descriptors(conn, listed):
            for index, address in enumerate(_change(descriptor, listed.network, used + 1 + CHANGE_AHEAD)):
                vault[address] = index
    return HousePlaces(frozenset(floats), frozenset(owners), vault)


async def float_keys(conn: AsyncConnection[Any], network: str) -> list[FloatKey]:
    """Where the float of a network lay, oldest first: the last one is where it lies now."""
    cursor = await conn.execute("SELECT document FROM payments.journal WHERE kind = 'ordered' ORDER BY seq")
    found: list[FloatKey] = []
    for (document,) in await cursor.fetchall():
        entry = msgspec.json.decode(document, type=_Ordered)
        order = read_order(entry.body.order.document.encode())
        if isinstance(order, Genesis):
            found += [each for each in order.floats if each.network == network]
        elif isinstance(order, RotateFloat) and order.float.network == network:
            found.append(order.float)
    return found


def account_of(public_key: str) -> str:
    """The EVM account of a compressed secp256k1 key, hex."""
    point = PublicKey(bytes.fromhex(public_key)).format(compressed=False)
    return checksum(keccak256(point[1:])[12:])


class _Document(msgspec.Struct):
    document: str


class _Body(msgspec.Struct):
    order: _Document


class _Ordered(msgspec.Struct):
    body: _Body


async def _descriptors(conn: AsyncConnection[Any], listed: ListedNetwork) -> list[str]:
    """The vault's descriptors, of old vaults too."""
    found = [listed.vault.descriptor] if isinstance(listed.vault, BitcoinVault) else []
    for vault in await _vaults(conn, listed.id):
        if isinstance(vault, BitcoinVault) and vault.descriptor not in found:
            found.append(vault.descriptor)
    return found


async def _safes(conn: AsyncConnection[Any], listed: ListedNetwork) -> list[str]:
    vaults = [listed.vault, *await _vaults(conn, listed.id)]
    return list(
        dict.fromkeys(vault.vault for vault in vaults if vault is not None and not isinstance(vault, BitcoinVault))
    )


async def _vaults(conn: AsyncConnection[Any], network: str) -> list[Any]:
    cursor = await conn.execute("SELECT DISTINCT vault FROM payments.address_ranges WHERE network = %s", (network,))
    return [vault_from_json(row[0]) for row in await cursor.fetchall()]


async def _change_used(conn: AsyncConnection[Any], network: str) -> int:
    cursor = await conn.execute(
        "SELECT count(DISTINCT address) FROM payments.house_arrivals WHERE network = %s AND place = 'vault'", (network,)
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


@lru_cache(maxsize=64)
def _change(descriptor: str, network: BitcoinNetwork, count: int) -> tuple[str, ...]:
    """The first change addresses; none where the descriptor has no change branch beside it."""
    try:
        parsed = VaultDescriptor.parse(descriptor)
        return tuple(parsed.address(index, network, Branch.CHANGE) for index in range(count))
    except DescriptorMalformed:
        return ()
