"""A merchant becomes active only by what the officers signed, for exactly what was reserved for it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from secrets import token_bytes

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_payments import Pool, Shop, bitcoin_settings
from holdfast.core.certificates import CertificateUnsigned, read_certificate, signing_input
from holdfast.core.quorum import Officer, Quorum, QuorumNotTrusted, Signature
from holdfast.payments import certification, merchants
from holdfast.payments.certification import CertificateNotForThis, Enrolment, MerchantInvalid, Proof
from holdfast.payments.indexes import MerchantNotCertified
from holdfast.payments.merchants import Merchant

OFFICERS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
QUORUM = Quorum(
    officers=tuple(
        Officer(f"officer {number}", key.public_key().public_bytes_raw().hex()) for number, key in enumerate(OFFICERS)
    ),
    threshold=2,
)


def signed(document: bytes, *signers: int) -> Proof:
    signatures = [
        Signature(
            OFFICERS[one].public_key().public_bytes_raw().hex(), OFFICERS[one].sign(signing_input(document)).hex()
        )
        for one in signers
    ]
    return Proof(document, signatures, QUORUM.document(), QUORUM.fingerprint())


async def enrolled(shop: Shop) -> Merchant:
    async with shop.pool.connection() as conn, conn.transaction():
        return await certification.enrol(
            conn, Enrolment("Shop", token_bytes(32), token_bytes(32), 50), shop.catalogue, shop.clock.now()
        )


async def certify(shop: Shop, merchant: Merchant, proof: Proof) -> Merchant:
    async with shop.pool.connection() as conn, conn.transaction():
        return await certification.certify(conn, merchant.id, proof, shop.clock.now())


async def test_a_merchant_is_active_once_enough_officers_have_signed(shop: Shop) -> None:
    merchant = await enrolled(shop)
    assert merchant.state == "pending"
    with pytest.raises(CertificateUnsigned):
        await certify(shop, merchant, signed(merchant.request, 0))
    active = await certify(shop, merchant, signed(merchant.request, 0, 2))
    assert (active.state, active.tariff_basis_points, active.certificate_version) == ("active", 50, 1)
    async with shop.pool.connection() as conn:
        kept = await merchants.certificate(conn, merchant.id)
    assert kept is not None
    assert kept.document == merchant.request
    again = await certify(shop, merchant, signed(merchant.request, 1, 2))
    assert again.certificate_version == 1


async def test_another_quorum_certifies_nobody(shop: Shop) -> None:
    merchant = await enrolled(shop)
    with pytest.raises(QuorumNotTrusted):
        await certify(shop, merchant, replace(signed(merchant.request, 0, 1), root_fingerprint="00" * 32))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda given, other: replace(given, merchant=other.merchant),
        lambda given, other: replace(given, key=other.key),
        lambda given, other: replace(given, networks=other.networks),
        lambda given, other: replace(given, networks=(replace(given.networks[0], ranges=((0, 5),)),)),
        lambda given, other: replace(given, networks=(replace(given.networks[0], vault=other.networks[1].vault),)),
    ],
    ids=["another merchant", "another key", "another's ranges", "indexes that are not reserved", "another vault"],
)
async def test_a_certificate_for_something_else_is_refused(shop: Shop, break_it: Callable[..., object]) -> None:
    merchant, other = await enrolled(shop), await enrolled(shop)
    broken = break_it(read_certificate(merchant.request), read_certificate(other.request))
    with pytest.raises(CertificateNotForThis):
        await certify(shop, merchant, signed(broken.document(), 0, 1))  # type: ignore[attr-defined]  a Certificate
    async with shop.pool.connection() as conn:
        assert (await merchants.get(conn, merchant.id)).state == "pending"


async def test_an_older_certificate_does_not_replace_a_newer_one(shop: Shop) -> None:
    merchant = await enrolled(shop)
    await certify(shop, merchant, signed(merchant.request, 0, 1))
    async with shop.pool.connection() as conn, conn.transaction():
        renewed = await certification.renew(conn, merchant.id, shop.catalogue, shop.clock.now() + timedelta(days=1))
    await certify(shop, merchant, signed(renewed.request, 0, 1))
    with pytest.raises(CertificateNotForThis):
        await certify(shop, merchant, signed(merchant.request, 0, 1))


async def test_concurrent_enrolments_never_get_overlapping_ranges(shop: Shop) -> None:
    new = await asyncio.gather(*(enrolled(shop) for _ in range(12)))
    ranges = sorted(
        (grant.network, *one)
        for merchant in new
        for grant in read_certificate(merchant.request).networks
        for one in grant.ranges
    )
    assert len(ranges) == 24
    for (network, _, end), (next_network, first, _) in pairwise(ranges):
        assert network != next_network or end <= first


@pytest.mark.parametrize(
    "enrolment",
    [
        Enrolment(" ", b"a" * 32, b"b" * 32),
        Enrolment("x" * 121, b"a" * 32, b"b" * 32),
        Enrolment("line\nbreak", b"a" * 32, b"b" * 32),
        Enrolment("Shop", b"a" * 31, b"b" * 32),
        Enrolment("Shop", b"a" * 32, b"a" * 32),
    ],
)
async def test_a_merchant_without_a_name_and_two_keys_is_refused(shop: Shop, enrolment: Enrolment) -> None:
    async with shop.pool.connection() as conn:
        with pytest.raises(MerchantInvalid):
            await certification.enrol(conn, enrolment, shop.catalogue, shop.clock.now())


async def test_a_merchant_whose_certificate_is_missing_or_over_gets_no_address(shop: Shop) -> None:
    merchant = await enrolled(shop)
    network = shop.networks[0].network.id
    with pytest.raises(MerchantNotCertified):
        await shop.desk.indexes.take(merchant.id, network, shop.clock.now())
    await certify(shop, merchant, signed(merchant.request, 0, 1))
    await shop.desk.indexes.take(merchant.id, network, shop.clock.now())
    shop.clock.pass_minutes(366 * 24 * 60)
    with pytest.raises(MerchantNotCertified):
        await shop.desk.indexes.take(merchant.id, network, shop.clock.now())


async def test_a_renewal_adds_a_range_for_a_network_that_came_later(pool: Pool, index_pool: Pool) -> None:
    litecoin, bitcoin = bitcoin_settings("litecoin-regtest"), bitcoin_settings("bitcoin-regtest")
    before = await Shop(pool, index_pool, [litecoin]).open()
    merchant = await enrolled(before)
    after = await Shop(pool, index_pool, [litecoin, bitcoin]).open()
    async with pool.connection() as conn, conn.transaction():
        renewed = await certification.renew(conn, merchant.id, after.catalogue, after.clock.now())
    networks = {grant.network for grant in read_certificate(renewed.request).networks}
    assert networks == {litecoin.network.id, bitcoin.network.id}
