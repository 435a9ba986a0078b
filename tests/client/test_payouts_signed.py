"""The SDK orders payouts through a platform in an attacker's hands: he can withhold them, and nothing else.

The honest answers are those of the real API's shapes; `tests/faces` shows that the API gives them.
"""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.client import (
    AsyncHoldfast,
    DecimalsUnknown,
    FeeTooHigh,
    MerchantKey,
    NewStandingOrder,
    NoMerchantKey,
    NotPinned,
    PayoutOrder,
    PayTo,
    Pin,
    PlatformAnswerMalformed,
    PlatformRefused,
    PlatformUnreachable,
    ReferenceUsed,
    merchant_signer,
)
from holdfast.client.keys import MerchantKeyMalformed
from holdfast.client.outbox import Outbox, OutboxBroken
from holdfast.client.payouts import BATCH_BYTES_MAX, BATCH_INTENTS_MAX, batches
from holdfast.client.signing import IntentSigner
from holdfast.core.addresses import BitcoinVault
from holdfast.core.certificates import Certificate, Grant, Tariff
from holdfast.core.errors import HoldfastError
from holdfast.core.evm import checksum
from holdfast.core.intents import NUMBER_WINDOW, Payout, SignedIntent, StandingOrder, read_intent, signing_input
from holdfast.core.keystore import KeystoreExposed, KeystoreMissing, KeystoreOfAnotherKind, PassphraseWrong
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.core.quorum import is_signed
from holdfast.vault import keystore
from holdfast.vault.officers import OfficerSecret, descriptor_of, public_part, quorum_of, sign_certificate

ETHEREUM, LITECOIN = known_network("ethereum"), known_network("litecoin")
ETH, USDT = ETHEREUM.coin.id, f"{ETHEREUM.id}/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"
ALICE, BOB = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", checksum(b"b" * 20)
SECRETS = [OfficerSecret(bytes([n]) * 32, bytes([n + 50]) * 32) for n in (1, 2)]
PEOPLE = [public_part(name, secret) for name, secret in zip(("ada", "bo"), SECRETS, strict=True)]
KEY = MerchantKey.from_bytes(b"m" * 32)
ETHER = 10**18
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RENT = NewStandingOrder(
    asset=ETH, destination=ALICE, units=ETHER, every_seconds=60, expires_at=NOW + timedelta(days=365)
)


def certificate() -> dict[str, Any]:
    """The merchant's, as the platform hands it out."""
    assert isinstance(LITECOIN, BitcoinNetwork)
    vault = BitcoinVault(descriptor_of(LITECOIN, PEOPLE, 2))
    document = Certificate(
        "mer_1", KEY.public, b"r" * 32, (Grant(LITECOIN.id, vault, ((0, 9),)),), Tariff(0), 1,
        datetime.now(UTC).replace(microsecond=0) + timedelta(days=9),
    ).document()  # fmt: skip
    signatures = [sign_certificate(document, secret) for secret in SECRETS]
    return {
        "document": base64.b64encode(document).decode(),
        "signatures": [{"officer": one.officer, "signature": one.signature} for one in signatures],
        "quorum": base64.b64encode(quorum_of(PEOPLE, 2).document()).decode(),
    }


@dataclass
class Platform:
    """What the server answers; tests change it."""

    url: str = ""
    fee_units: str = "1000"
    statuses: list[int] = field(default_factory=list)
    """What to answer with before answering well."""
    changes: dict[str, Any] = field(default_factory=dict)
    """What it lies about in a payout."""
    refuses: set[int] = field(default_factory=set)
    """Places in a batch that it refuses."""
    got: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of its POSTs."""

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.got.append(await request.json())
            if self.statuses and (status := self.statuses.pop(0)):
                return web.json_response({"code": "x", "title": "No."}, status=status, headers={"Retry-After": "0"})
        match request.path:
            case "/v1/certificate":
                return web.json_response(certificate())
            case "/v1/payouts/fee":
                lines = int(request.query["lines"])
                fee = {"network": request.query["network"], "asset": request.query["asset"], "lines": lines}
                return web.json_response({**fee, "fee_units": self.fee_units, "fee": "0", "paid_by": "merchant"})
            case "/v1/payouts":
                return web.json_response(self.payout(self.got[-1]))
            case "/v1/payouts/batch":
                items = [self.item(place, one) for place, one in enumerate(self.got[-1]["payouts"])]
                return web.json_response({"items": items})
            case "/v1/standing-orders":
                return web.json_response(self.order(self.got[-1]))
            case _:
                return web.json_response({"code": "route-unknown"}, status=404)

    def item(self, place: int, one: dict[str, str]) -> dict[str, Any]:
        intent = SignedIntent(**one).id
        if place in self.refuses:
            return {"intent": intent, "payout": None, "problem": {"code": "balance-too-low", "title": "Too low."}}
        return {"intent": intent, "payout": self.payout(one), "problem": None}

    def payout(self, handed_in: dict[str, str]) -> dict[str, Any]:
        intent = read_intent(handed_in["document"].encode())
        assert isinstance(intent, Payout)
        at = "2026-11-21T12:00:00Z"
        plain = {
            "id": "pay_1", "intent": SignedIntent(**handed_in).id, "reference": intent.reference,
            "network": intent.network, "asset": intent.asset,
            "state": "reserved", "lines_units": str(intent.lines_units),
            "fee_units": str(intent.fee_units), "document": handed_in["document"], "created_at": at, "expires_at": at,
            "lines": [{"destination": x.destination, "units": str(x.units), "state": "waiting"} for x in intent.lines],
        }  # fmt: skip
        return {**plain, **self.changes}

    def order(self, handed_in: dict[str, str]) -> dict[str, Any]:
        intent = read_intent(handed_in["document"].encode())
        assert isinstance(intent, StandingOrder)
        at = "2026-11-21T12:00:00Z"
        plain = {
            "id": "sto_1", "intent": SignedIntent(**handed_in).id, "reference": intent.reference,
            "network": intent.network, "asset": intent.asset,
            "destination": intent.destination, "units": str(intent.units), "fee_units": "0",
            "every_seconds": intent.every_seconds, "state": "active", "document": handed_in["document"], "due_at": at,
            "expires_at": at,
        }  # fmt: skip
        return {**plain, **self.changes}

    def intents(self) -> list[Payout]:
        """What was handed in, read."""
        bodies = [one for body in self.got for one in body.get("payouts", [body])]
        found = [read_intent(one["document"].encode()) for one in bodies]
        return [one for one in found if isinstance(one, Payout)]


@pytest_asyncio.fixture
async def platform() -> AsyncIterator[Platform]:
    said = Platform()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", said.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    said.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield said
    await runner.cleanup()


def client(platform: Platform, signer: IntentSigner | None = None) -> AsyncHoldfast:
    """A shop's client; by default with its key."""
    pin = Pin(root_fingerprint=quorum_of(PEOPLE, 2).fingerprint(), key=KEY.public)
    return AsyncHoldfast(platform.url, "hf_x_y", pin, signer=signer or merchant_signer(KEY))


def order(*units: int, **changes: Any) -> PayoutOrder:
    return replace(PayoutOrder(asset=ETH, lines=[PayTo(ALICE, units=one) for one in units]), **changes)


async def test_what_is_handed_in_is_what_the_shop_wanted_signed_by_its_key(platform: Platform) -> None:
    async with client(platform) as shop:
        payout = await shop.payouts.create(order(ETHER, reference="order 1"))
    [intent] = platform.intents()
    assert (intent.merchant, intent.network, intent.asset, intent.reference) == ("mer_1", ETHEREUM.id, ETH, "order 1")
    assert [(line.destination, line.units) for line in intent.lines] == [(ALICE, ETHER)]
    assert intent.fee_units == 1000
    [body] = platform.got
    assert is_signed(KEY.public.hex(), body["signature"], signing_input(body["document"].encode()))
    assert payout.intent == SignedIntent(**body).id


async def test_while_the_platform_fails_the_same_bytes_are_sent_again(platform: Platform) -> None:
    platform.statuses = [503, 502, 0]
    async with client(platform) as shop:
        await shop.payouts.create(order(ETHER))
    assert len(platform.got) == 3
    assert all(body == platform.got[0] for body in platform.got)


async def test_an_answer_that_shows_another_payout_is_not_believed(platform: Platform) -> None:
    for changes in ({"intent": "ab" * 32}, {"document": "{}"}):
        platform.changes = changes
        async with client(platform) as shop:
            with pytest.raises(PlatformAnswerMalformed):
                await shop.payouts.create(order(ETHER))
            with pytest.raises(PlatformAnswerMalformed):
                await shop.payouts.create_many([order(ETHER)])


@pytest.mark.parametrize("told", ["", "-1", "1e3", "1.5", "\u0661", "9" * 79])
async def test_a_fee_that_is_no_number_is_not_signed(platform: Platform, told: str) -> None:
    platform.fee_units = told
    async with client(platform) as shop:
        with pytest.raises(PlatformAnswerMalformed):
            await shop.payouts.create(order(ETHER))
    assert platform.got == []


async def test_a_platform_cannot_make_the_shop_sign_away_its_money_as_a_fee(platform: Platform) -> None:
    platform.fee_units = str(ETHER // 20 + 1)
    async with client(platform) as shop:
        with pytest.raises(FeeTooHigh):
            await shop.payouts.create(order(ETHER))
        with pytest.raises(FeeTooHigh):
            await shop.payouts.create(order(ETHER, fee_units_max=ETHER // 20))
        with pytest.raises(FeeTooHigh):
            await shop.payouts.create_standing_order(RENT)
        assert platform.got == []
        await shop.payouts.create(order(ETHER, fee_units_max=ETHER // 20 + 1))
        await shop.payouts.create(order(ETHER, fee_units=7))
    assert [one.fee_units for one in platform.intents()] == [ETHER // 20 + 1, 7]


async def test_a_reference_is_signed_once_whatever_the_platform_says(platform: Platform) -> None:
    platform.statuses = [409, 0]
    async with client(platform) as shop:
        with pytest.raises(PlatformRefused):
            await shop.payouts.create(order(ETHER, reference="order 1"))
        await shop.payouts.create(order(ETHER, reference="order 1"))
        with pytest.raises(ReferenceUsed):
            await shop.payouts.create(order(2 * ETHER, reference="order 1"))
    assert len(platform.got) == 2
    assert platform.got[0] == platform.got[1]


async def test_the_outbox_outlives_the_program(platform: Platform, tmp_path: Path) -> None:
    for _ in range(2):
        async with client(platform, merchant_signer(KEY, outbox_file=tmp_path / "signed.jsonl")) as shop:
            await shop.payouts.create(order(ETHER, reference="order 1"))
    assert platform.got[0] == platform.got[1]


async def test_what_was_signed_is_on_disk_before_it_is_sent(tmp_path: Path) -> None:
    nowhere = Platform(url="http://127.0.0.1:9")
    signer = merchant_signer(KEY, outbox_file=tmp_path / "signed.jsonl")
    with pytest.raises(PlatformUnreachable):
        async with client(nowhere, signer) as shop:
            await shop.payouts.submit([signer.payout("mer_1", order(ETHER, reference="order 1"), 0)])
    kept = Outbox(tmp_path / "signed.jsonl").find("order 1")
    assert kept is not None
    assert (tmp_path / "signed.jsonl").stat().st_mode & 0o777 == 0o600


def at(moment: datetime, **given: Any) -> IntentSigner:
    """A signer whose clock stands still."""
    return IntentSigner(KEY, lambda: moment, **given)


def number_of(signed: SignedIntent) -> int:
    return read_intent(signed.document.encode()).number


def test_what_is_signed_anew_has_the_first_ones_number_so_that_one_of_them_is_paid() -> None:
    outbox = Outbox()
    first = at(NOW, outbox=outbox).payout("mer_1", order(ETHER, reference="order 1"), 0)
    late = at(NOW + timedelta(days=2), outbox=outbox).payout("mer_1", order(ETHER, reference="order 1"), 0)
    dearer = at(NOW + timedelta(days=2), outbox=outbox).payout("mer_1", order(ETHER, reference="order 1"), 5)
    assert len({first.id, late.id, dearer.id}) == 3
    assert number_of(first) == number_of(late) == number_of(dearer)
    cheaper = at(NOW + timedelta(days=2), outbox=outbox).payout("mer_1", order(ETHER, reference="order 1"), 4)
    assert cheaper == dearer


def test_a_payout_and_a_standing_order_do_not_share_a_reference() -> None:
    outbox = Outbox()
    standing = NewStandingOrder(
        asset=ETH,
        destination=ALICE,
        units=ETHER,
        every_seconds=60,
        expires_at=NOW + timedelta(days=1),
        reference="rent",
    )
    signer = at(NOW, outbox=outbox)
    first = signer.standing_order("mer_1", standing, 0)
    assert signer.standing_order("mer_1", standing, 0) == first
    with pytest.raises(ReferenceUsed):
        signer.payout("mer_1", order(ETHER, reference="rent"), 0)
    with pytest.raises(ReferenceUsed):
        signer.standing_order("mer_1", replace(standing, units=ETHER + 1), 0)


def test_numbers_stay_within_the_window_for_as_long_as_an_intent_can_wait() -> None:
    oldest = number_of(at(NOW).payout("mer_1", order(1), 0))
    newest = [number_of(at(NOW + timedelta(days=31)).payout("mer_1", order(1), 0)) for _ in range(50)]
    assert max(newest) - NUMBER_WINDOW < oldest
    assert len(set(newest)) == 50


def test_a_line_that_was_never_finished_was_never_sent(tmp_path: Path) -> None:
    path = tmp_path / "signed.jsonl"
    at(NOW, outbox=Outbox(path)).payout("mer_1", order(ETHER, reference="whole"), 0)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    outbox = Outbox(path)
    assert outbox.find("whole") is not None
    assert path.read_bytes() == whole
    at(NOW, outbox=outbox).payout("mer_1", order(ETHER, reference="next"), 0)
    assert Outbox(path).find("next") is not None


def test_an_outbox_that_holds_something_else_signs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "signed.jsonl"
    for wrong in (b"hello\n", b'{"document":"{}","signature":""}\n', b"\xff\n"):
        path.write_bytes(wrong)
        with pytest.raises(OutboxBroken):
            at(NOW, outbox=Outbox(path)).payout("mer_1", order(ETHER), 0)


def test_decimals_of_a_token_are_never_the_platforms_word() -> None:
    wanted = PayoutOrder(asset=USDT, lines=[PayTo(ALICE, "1.5")])
    with pytest.raises(DecimalsUnknown):
        at(NOW).payout("mer_1", wanted, 0)
    signed = at(NOW, decimals={USDT: 6}).payout("mer_1", wanted, 0)
    intent = read_intent(signed.document.encode())
    assert isinstance(intent, Payout)
    assert intent.lines_units == 1_500_000
    coin = at(NOW).payout("mer_1", PayoutOrder(asset=ETH, lines=[PayTo(ALICE, "1.5")]), 0)
    assert '"units":"1500000000000000000"' in coin.document


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (PayTo(ALICE.lower()[:-1], "1"), "evm-address-malformed"),
        (PayTo(ALICE.swapcase().replace("0X", "0x"), "1"), "evm-address-"),
        (PayTo("ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "1"), "evm-address-malformed"),
        (PayTo(ALICE, "-1"), "amount-malformed"),
        (PayTo(ALICE, "0"), "intent-malformed"),
        (PayTo(ALICE), "decimals-unknown"),
        (PayTo(ALICE, "1", 1), "decimals-unknown"),
    ],
)
def test_what_cannot_be_paid_is_refused_before_it_is_signed(line: PayTo, code: str) -> None:
    outbox = Outbox()
    with pytest.raises(HoldfastError) as refused:
        at(NOW, outbox=outbox).payout("mer_1", PayoutOrder(asset=ETH, lines=[line], reference="x"), 0)
    assert refused.value.code.startswith(code)
    assert outbox.find("x") is None


async def test_a_batch_is_cut_to_what_the_platform_takes_and_answers_keep_their_places(platform: Platform) -> None:
    platform.refuses = {1}
    orders = [order(place + 1, reference=f"r {place}", fee_units=0) for place in range(BATCH_INTENTS_MAX + 3)]
    async with client(platform) as shop:
        outcomes = await shop.payouts.create_many(orders)
    assert [len(body["payouts"]) for body in platform.got] == [BATCH_INTENTS_MAX, 3]
    refused = [place for place, one in enumerate(outcomes) if isinstance(one, PlatformRefused)]
    assert refused == [1, BATCH_INTENTS_MAX + 1]
    assert [one.reference for one in outcomes if not isinstance(one, PlatformRefused)] == [
        f"r {place}" for place in range(len(orders)) if place not in refused
    ]


def test_large_intents_are_sent_few_at_a_time() -> None:
    signed = [at(NOW).payout("mer_1", order(*range(1, 501)), 0) for _ in range(9)]
    made = batches(signed)
    assert [one for batch in made for one in batch] == signed
    assert len(made) > 1
    assert all(sum(len(json.dumps(one.document)) for one in batch) <= BATCH_BYTES_MAX for batch in made)


async def test_without_the_key_nothing_is_ordered_and_with_another_neither(platform: Platform) -> None:
    pin = Pin(root_fingerprint=quorum_of(PEOPLE, 2).fingerprint(), key=KEY.public)
    async with AsyncHoldfast(platform.url, "hf_x_y", pin) as shop:
        with pytest.raises(NoMerchantKey):
            await shop.payouts.create(order(ETHER, fee_units=0))
    async with client(platform, merchant_signer(MerchantKey.from_bytes(b"x" * 32))) as shop:
        with pytest.raises(NotPinned):
            await shop.payouts.create(order(ETHER, fee_units=0))
    assert platform.got == []


async def test_a_standing_order_is_handed_in_as_it_was_signed(platform: Platform) -> None:
    until = datetime.now(UTC) + timedelta(days=9)
    wanted = NewStandingOrder(
        asset=ETH, destination=BOB, amount="2", every_seconds=3600, expires_at=until, reference="rent", fee_units=0
    )
    async with client(platform) as shop:
        kept = await shop.payouts.create_standing_order(wanted)
        assert (kept.destination, kept.units) == (BOB, str(2 * ETHER))
        platform.changes = {"intent": "ab" * 32}
        with pytest.raises(PlatformAnswerMalformed):
            await shop.payouts.create_standing_order(wanted)


def test_the_key_is_never_shown() -> None:
    secret = b"m" * 32
    for thing in (KEY, merchant_signer(KEY), [KEY]):
        shown = f"{thing!r} {thing}"
        assert secret.hex() not in shown
        assert repr(secret) not in shown
    assert KEY.public.hex()[:16] in repr(KEY)
    with pytest.raises(MerchantKeyMalformed):
        MerchantKey.from_bytes(b"short")


def test_a_key_comes_out_of_the_merchants_own_keystore_alone(tmp_path: Path) -> None:
    path, passphrase = tmp_path / "merchant.keystore", "correct horse battery staple"
    with pytest.raises(KeystoreMissing):
        MerchantKey.open(path, passphrase)
    key = Ed25519PrivateKey.generate()
    keystore.write(path, keystore.seal("merchant", {}, key.private_bytes_raw(), passphrase, keystore.COST_MIN))
    assert MerchantKey.open(path, passphrase).public == key.public_key().public_bytes_raw()
    with pytest.raises(PassphraseWrong):
        MerchantKey.open(path, passphrase + "r")
    path.chmod(0o640)
    with pytest.raises(KeystoreExposed):
        MerchantKey.open(path, passphrase)
    other = tmp_path / "ada.keystore"
    keystore.write(other, keystore.seal("officer", {}, b"s" * 64, passphrase, keystore.COST_MIN))
    with pytest.raises(KeystoreOfAnotherKind):
        MerchantKey.open(other, passphrase)
