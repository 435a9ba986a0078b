"""Enrolment: a merchant brings its keys, gets index ranges, and is active once officers have signed its certificate.

The platform cannot make a merchant active by itself: `certify` believes only the quorum's signatures.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from holdfast.core import certificates
from holdfast.core.addresses import Vault
from holdfast.core.certificates import Certificate, Grant, Tariff
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.ids import new_id
from holdfast.core.networks import BitcoinNetwork
from holdfast.core.quorum import Signature
from holdfast.payments.catalogue import Catalogue, ListedNetwork, NetworkWithoutVault
from holdfast.payments.indexes import vault_from_json, vault_to_json
from holdfast.payments.merchants import Merchant, certificate as stored_certificate, get, merchant_from
from holdfast.payments.rows import there

RANGE_SIZE = 2**20
"""Indexes reserved for a merchant on each network."""
BITCOIN_INDEX_MAX = 2**31
"""Non-hardened child numbers end there (BIP 32)."""
CERTIFICATE_LIFETIME = timedelta(days=365)
NAME_LENGTH_MAX = 120
KEY_BYTES = 32


class MerchantInvalid(BadInput):
    """A merchant cannot be enrolled like that. Give it a name, and two different Ed25519 public keys of 32 bytes."""

    code = "merchant-invalid"


class IndexSpaceUsedUp(Conflict):
    """The vault of a network has no index range left to grant. Configure another vault descriptor for it."""

    code = "index-space-used-up"


class CertificateNotForThis(Conflict):
    """The certificate is signed, but not for what is enrolled here. Have the officers sign the request as given."""

    code = "certificate-not-for-this"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a merchant brings."""

    name: str
    key: bytes
    """Its Ed25519 public key."""
    recovery_key: bytes
    tariff_basis_points: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate as officers hand it in, and what it is checked against."""

    document: bytes
    signatures: Sequence[Signature]
    quorum: bytes
    """The quorum document's bytes."""
    root_fingerprint: str


async def enrol(conn: AsyncConnection[Any], enrolment: Enrolment, catalogue: Catalogue, now: datetime) -> Merchant:
    """A new merchant, pending, with a range on every configured network that has a vault.

    Raises `MerchantInvalid`, `IndexSpaceUsedUp`.
    """
    _check(enrolment)
    merchant_id = new_id("mer", int(now.timestamp() * 1000), secrets.token_bytes(10))
    ranges = [
        (listed, await _reserve(conn, listed))
        for listed in sorted(catalogue.networks.values(), key=lambda each: each.id)
        if listed.vault is not None
    ]
    grants = tuple(Grant(listed.id, _vault(listed), ((first, first + RANGE_SIZE),)) for listed, first in ranges)
    request = _request(merchant_id, enrolment, grants, 1, now)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            INSERT INTO payments.merchants
                (id, name, public_key, recovery_key, state, tariff_basis_points, request, created_at)
            VALUES (%s, %s, %s, %s, 'pending', %s, %s, %s) RETURNING *
            """,
            (
                merchant_id,
                enrolment.name.strip(),
                enrolment.key,
                enrolment.recovery_key,
                enrolment.tariff_basis_points,
                request,
                now,
            ),
        )
        row = there(await cursor.fetchone())
    for listed, index_from in ranges:
        await _store_range(conn, merchant_id, listed, index_from)
    return merchant_from(row)


async def renew(conn: AsyncConnection[Any], merchant_id: str, catalogue: Catalogue, now: datetime) -> Merchant:
    """A fresh request for an enrolled merchant: the next version, with a range wherever one is missing or nearly full.

    For expiring certificates, new networks and used-up ranges. Raises `MerchantNotFound`, `IndexSpaceUsedUp`.
    """
    merchant = await get(conn, merchant_id, lock=True)
    for listed in sorted(catalogue.networks.values(), key=lambda each: each.id):
        if listed.vault is not None and await _left(conn, merchant_id, listed) < RANGE_SIZE // 10:
            await _store_range(conn, merchant_id, listed, await _reserve(conn, listed))
    grants = await _grants(conn, merchant_id)
    enrolment = Enrolment(merchant.name, merchant.public_key, merchant.recovery_key, merchant.tariff_basis_points)
    request = _request(merchant_id, enrolment, grants, (merchant.certificate_version or 0) + 1, now)
    await conn.execute("UPDATE payments.merchants SET request = %s WHERE id = %s", (request, merchant_id))
    return await get(conn, merchant_id)


async def certify(conn: AsyncConnection[Any], merchant_id: str, proof: Proof, now: datetime) -> Merchant:
    """Take a signed certificate; the merchant is active from now on.

    Raises what `certificates.verify` raises, `MerchantNotFound` and `CertificateNotForThis`.
    """
    certificate = certificates.verify(proof.document, proof.signatures, proof.quorum, proof.root_fingerprint, now)
    merchant = await get(conn, merchant_id, lock=True)
    await _check_certificate(conn, merchant, certificate)
    await _check_version(conn, merchant_id, certificate.version, proof.document)
    await conn.execute(
        """
        INSERT INTO payments.certificates (merchant_id, version, document, signatures, expires_at, created_at)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (merchant_id, version) DO NOTHING
        """,
        (
            merchant_id,
            certificate.version,
            proof.document,
            Jsonb(msgspec.to_builtins(list(proof.signatures))),
            certificate.expires_at,
            now,
        ),
    )
    await _mark_certified(conn, merchant_id, certificate)
    await conn.execute(
        """
        UPDATE payments.merchants SET state = CASE state WHEN 'pending' THEN 'active' ELSE state END,
            certificate_version = %s, certified_until = %s, tariff_basis_points = %s
        WHERE id = %s
        """,
        (certificate.version, certificate.expires_at, certificate.tariff.deposit_basis_points, merchant_id),
    )
    return await get(conn, merchant_id)


def _check(enrolment: Enrolment) -> None:
    name = enrolment.name.strip()
    if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise MerchantInvalid(f"a name has 1 to {NAME_LENGTH_MAX} printable characters")
    if len(enrolment.key) != KEY_BYTES or len(enrolment.recovery_key) != KEY_BYTES:
        raise MerchantInvalid(f"a key has {KEY_BYTES} bytes")
    if enrolment.key == enrolment.recovery_key:
        raise MerchantInvalid("the recovery key is the key itself")


async def _reserve(conn: AsyncConnection[Any], listed: ListedNetwork) -> int:
    """The first index of a range that nobody else has or will have. The row's lock makes concurrent enrolments wait."""
    cursor = await conn.execute(
        """
        INSERT INTO payments.index_spaces AS space (network, index_next) VALUES (%(network)s, %(size)s)
        ON CONFLICT (network) DO UPDATE SET index_next = space.index_next + %(size)s
        RETURNING index_next - %(size)s
        """,
        {"network": listed.id, "size": RANGE_SIZE},
    )
    row = there(await cursor.fetchone())
    if isinstance(listed.network, BitcoinNetwork) and row[0] + RANGE_SIZE > BITCOIN_INDEX_MAX:
        raise IndexSpaceUsedUp(listed.network.name)
    return int(row[0])


async def _store_range(conn: AsyncConnection[Any], merchant_id: str, listed: ListedNetwork, index_from: int) -> None:
    vault = _vault(listed)
    await conn.execute(
        """
        INSERT INTO payments.address_ranges (merchant_id, network, index_from, index_to, index_next, vault)
        VALUES (%s, %s, %s, %s, %s, %s)
        """,
        (
            merchant_id,
            listed.id,
            index_from,
            index_from + RANGE_SIZE,
            index_from,
            Jsonb(vault_to_json(vault)),
        ),
    )


async def _left(conn: AsyncConnection[Any], merchant_id: str, listed: ListedNetwork) -> int:
    """Unused indexes of the network's present vault, asked for or certified."""
    vault = _vault(listed)
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(index_to - index_next), 0)::bigint FROM payments.address_ranges
        WHERE merchant_id = %s AND network = %s AND vault = %s
        """,
        (merchant_id, listed.id, Jsonb(vault_to_json(vault))),
    )
    row = there(await cursor.fetchone())
    return int(row[0])


async def _grants(conn: AsyncConnection[Any], merchant_id: str) -> tuple[Grant, ...]:
    """All ranges of a merchant, asked for or certified, by network and vault: used-up ones too, for their addresses
    must stay verifiable."""
    cursor = await conn.execute(
        """
        SELECT network, vault, array_agg(index_from ORDER BY index_from), array_agg(index_to ORDER BY index_from)
        FROM payments.address_ranges WHERE merchant_id = %s GROUP BY network, vault ORDER BY network, min(index_from)
        """,
        (merchant_id,),
    )
    return tuple(
        Grant(network, vault_from_json(vault), tuple(zip(firsts, ends, strict=True)))
        for network, vault, firsts, ends in await cursor.fetchall()
    )


def _request(merchant_id: str, enrolment: Enrolment, grants: tuple[Grant, ...], version: int, now: datetime) -> bytes:
    """The document for officers to sign."""
    return Certificate(
        merchant=merchant_id,
        key=enrolment.key,
        recovery_key=enrolment.recovery_key,
        networks=grants,
        tariff=Tariff(enrolment.tariff_basis_points),
        version=version,
        expires_at=(now + CERTIFICATE_LIFETIME).replace(microsecond=0),
    ).document()


async def _check_certificate(conn: AsyncConnection[Any], merchant: Merchant, given: Certificate) -> None:
    """Raises `CertificateNotForThis` unless it is this merchant's, newer than what is here, and for his own ranges."""
    if (given.merchant, given.key, given.recovery_key) != (merchant.id, merchant.public_key, merchant.recovery_key):
        raise CertificateNotForThis("it names another merchant or another key")
    mine = {(grant.network, grant.vault, one) for grant in await _grants(conn, merchant.id) for one in grant.ranges}
    for grant in given.networks:
        for one in grant.ranges:
            if (grant.network, grant.vault, one) not in mine:
                raise CertificateNotForThis(f"{grant.network}: indexes {one[0]} to {one[1]} are not reserved for it")


async def _check_version(conn: AsyncConnection[Any], merchant_id: str, version: int, document: bytes) -> None:
    """A certificate replaces older ones only; the same one again changes nothing. Raises `CertificateNotForThis`."""
    newest = await stored_certificate(conn, merchant_id)
    if newest is None or version > newest.version:
        return
    if version < newest.version or document != newest.document:
        raise CertificateNotForThis(f"version {version} is not newer than {newest.version}")


async def _mark_certified(conn: AsyncConnection[Any], merchant_id: str, certificate: Certificate) -> None:
    """What the newest certificate grants is certified, and nothing else."""
    granted = [(grant.network, index_from) for grant in certificate.networks for index_from, _ in grant.ranges]
    await conn.execute(
        """
        UPDATE payments.address_ranges
        SET certified = (network, index_from) IN (SELECT * FROM unnest(%s::text[], %s::bigint[]))
        WHERE merchant_id = %s
        """,
        ([network for network, _ in granted], [index_from for _, index_from in granted], merchant_id),
    )


def _vault(listed: ListedNetwork) -> Vault:
    if listed.vault is None:
        raise NetworkWithoutVault(listed.network.name)
    return listed.vault
