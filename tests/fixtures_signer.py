"""A signer with everything around it: officers, a policy, a merchant, real nodes, a real watchtower.

The platform is a fake of forty lines that implements the signer's side of its door in memory; the real one meets the
signer in `tests/system`.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_watchtower import House, key_hex
from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.evm_contracts import float_of, plan_vault
from holdfast.chains.evm_deploy import deploy, deploy_float
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.zone_settings import NetworkAccess, NodeAccess
from holdfast.core import intents
from holdfast.core.addresses import BitcoinVault, EvmVault, deposit_address
from holdfast.core.bitcoin import key_script
from holdfast.core.certificates import CERTIFICATE_TAG, Certificate, Grant, Tariff
from holdfast.core.evm_transactions import address_of
from holdfast.core.journal import StoredEntry
from holdfast.core.leases import SignedLease
from holdfast.core.networks import known_network
from holdfast.core.orders import FloatKey, Genesis, SignedOrder
from holdfast.core.quorum import Signature, tagged
from holdfast.policy.document import POLICY_TAG
from holdfast.signer.clocks import MachineClocks
from holdfast.signer.keys import KeystoreKeys, make_keys
from holdfast.signer.loop import Signer
from holdfast.signer.networks import open_sight
from holdfast.signer.platform import (
    DepositHint,
    FundingHint,
    MinedHint,
    ProposedPayout,
    SignedDocument,
    Waiting,
    Work,
)  # fmt: skip
from holdfast.signer.settings import SignerSettings
from holdfast.signer.store import Journal
from holdfast.signer.tower import Tower
from holdfast.vault.officers import descriptor_of, make_officer, public_part
from holdfast.watchtower.answers import Tower as WatchTower
from holdfast.watchtower.server import Bounds, Server, listening
from holdfast.watchtower.store import Store

LTC, EVM = known_network("litecoin-regtest"), known_network("anvil")
COIN = 10**8
ETHER = 10**18
GAS_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public

POLICY = """
version = 1
expires_at = 2036-01-01T00:00:00Z
intent_seconds_max = 604800
limited_divisor = 10
[delays]
loosening_seconds = 3600
key_change_seconds = 3600
recovery_seconds = 7200
ageing_seconds = 3600
restore_soak_seconds = 600
"""
NETWORK = """
[networks."{id}"]
decimals = {decimals}
confirmations = 1
fee_rate_max = {fee_rate_max}
fee_max = "{fee_max}"
fees = {{ burst = "5", per_day = "5" }}
house = {{ "cap-sweep" = {{ burst = "2", per_day = "2" }}, "consolidation" = {{ burst = "1", per_day = "1" }} }}
[assets."{asset}"]
symbol = "{symbol}"
decimals = {decimals}
float_cap = "500"
low_water = "5"
payout_max = "50"
unconfirmed_max = "200"
total = {{ burst = "150", per_day = "150" }}
merchant = {{ burst = "120", per_day = "120" }}
new = {{ burst = "100", per_day = "100" }}
aged = {{ burst = "120", per_day = "120" }}
listed = {{ burst = "150", per_day = "150" }}
approvals = [{{ above = "40", count = 1 }}]
"""


def policy_text() -> str:
    """Limits for both networks, wide enough for ordinary tests."""
    parts = [
        NETWORK.format(id=LTC.id, asset=LTC.coin.id, symbol="rLTC", decimals=8, fee_rate_max=200_000, fee_max="0.5"),
        NETWORK.format(id=EVM.id, asset=EVM.coin.id, symbol="ETH", decimals=18, fee_rate_max=10**12, fee_max="4"),
    ]
    return POLICY + "".join(parts)


@dataclass
class FakePlatform:
    """The platform's door for the signer, in memory."""

    entries: list[StoredEntry] = field(default_factory=list)
    leases: list[SignedLease] = field(default_factory=list)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    policies: list[SignedDocument] = field(default_factory=list)
    certificates: list[SignedDocument] = field(default_factory=list)
    orders: list[SignedOrder] = field(default_factory=list)
    payouts: list[ProposedPayout] = field(default_factory=list)
    deposits: list[DepositHint] = field(default_factory=list)
    fundings: list[FundingHint] = field(default_factory=list)
    mined: list[MinedHint] = field(default_factory=list)

    async def work(self, wait_seconds: int) -> Work:
        parts = (self.policies, self.certificates, self.orders, (), (), self.payouts, self.deposits)
        return Work("1", len(self.entries), *(tuple(part) for part in parts), tuple(self.fundings), tuple(self.mined))

    async def publish(
        self, after: int, entries: Sequence[StoredEntry], lease: SignedLease | None, waiting: Sequence[Waiting]
    ) -> int:
        assert after == len(self.entries)
        self.entries += entries
        self.waiting = {one.payout: one for one in waiting}
        return len(self.entries)

    async def close(self) -> None:
        pass


@dataclass
class Scene:
    """Everything around one signer."""

    directory: Path
    litecoin: RegtestNode
    anvil: AnvilNode
    house: House = field(default_factory=House)
    keys: KeystoreKeys = field(default_factory=lambda: make_keys([LTC.id, EVM.id, f"{EVM.id}/gas"]))
    merchant: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    platform: FakePlatform = field(default_factory=FakePlatform)
    number: int = 0
    port: int = 0
    birth: tuple[int, int] = (1, 1)
    """Heights on both chains before which nothing of this scene happened."""
    clocks: MachineClocks = field(default_factory=MachineClocks)

    def __post_init__(self) -> None:
        self.secrets = [make_officer() for _ in range(3)]
        self.people = people = [public_part(f"officer-{n}", secret) for n, secret in enumerate(self.secrets)]
        assert LTC.id.startswith("bip122")
        self.descriptor = descriptor_of(LTC, people, 2)  # type: ignore[arg-type]  # a network of the Bitcoin family
        self.plan = plan_vault([one.evm_address for one in people], 2)
        self.owner = address_of(PublicKey(self.keys.public_key(EVM.id)))
        self.ltc_float = script_address(LTC, key_script(self.keys.public_key(LTC.id), is_segwit=True))  # type: ignore[arg-type]  # of the Bitcoin family, as above
        self.evm_float = float_of(self.owner, self.plan.vault)

    @property
    def genesis(self) -> SignedOrder:
        vault = BitcoinVault(self.descriptor)
        floats = (
            FloatKey(LTC.id, self.keys.public_key(LTC.id).hex(), self.ltc_float, deposit_address(LTC, vault, 2**30)),
            FloatKey(EVM.id, self.keys.public_key(EVM.id).hex(), self.evm_float, self.plan.vault),
        )
        public = self.keys.public_keys()
        quorum, lease_key = self.house.quorum.document().decode(), key_hex(self.house.lease_key)
        return self.house.order(Genesis(quorum, public["journal"], lease_key, floats, 1_795_000_000))

    def signed(self, tag: bytes, document: bytes) -> SignedDocument:
        signatures = [Signature(key_hex(key), key.sign(tagged(tag, document)).hex()) for key in self.house.officers[:2]]
        return SignedDocument(document.decode(), tuple(signatures))

    def certify(self, merchant: str = "mer_one", key: Ed25519PrivateKey | None = None, version: int = 1) -> None:
        public = (key or self.merchant).public_key().public_bytes_raw()
        start = 2**20 * int.from_bytes(merchant.encode()[-1:], "big")
        grants = (
            Grant(LTC.id, BitcoinVault(self.descriptor), ((start, start + 2**20),)),
            Grant(
                EVM.id,
                EvmVault(self.plan.factory, self.plan.implementation, self.plan.vault),
                ((start, start + 2**20),),
            ),
        )
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)
        certificate = Certificate(merchant, public, b"\1" * 32, grants, Tariff(100), version, until)
        self.platform.certificates.append(self.signed(CERTIFICATE_TAG, certificate.document()))

    def set_policy(self, text: str) -> None:
        self.platform.policies.append(self.signed(POLICY_TAG, text.encode()))

    def index(self, merchant: str = "mer_one") -> int:
        return 2**20 * int.from_bytes(merchant.encode()[-1:], "big") + 1

    async def deposit(self, ltc: int = 0, ether: int = 0, merchant: str = "mer_one") -> None:
        """Money for a merchant, confirmed, with the platform's hint."""
        index = self.index(merchant)
        if ltc:
            address = deposit_address(LTC, BitcoinVault(self.descriptor), index)
            await self.litecoin.send(address, ltc)
            await self.litecoin.mine(1)
            self.platform.deposits.append(DepositHint(LTC.id, index, merchant, await self.litecoin.height()))
        if ether:
            vault = EvmVault(self.plan.factory, self.plan.implementation, self.plan.vault)
            await self.anvil.send(deposit_address(EVM, vault, index), ether)
            self.platform.deposits.append(DepositHint(EVM.id, index, merchant, await self.anvil.height()))

    async def fund(self, ltc: Sequence[int] = (), ether: int = 0) -> None:
        """Money for the float, confirmed, with the platform's hint; coin for the owner's gas."""
        for units in ltc:
            await self.litecoin.send(self.ltc_float, units)
        if ltc:
            await self.litecoin.mine(1)
            self.platform.fundings.append(FundingHint(LTC.id, await self.litecoin.height()))
        if ether:
            await deploy(self.anvil.rpc_url, self.plan, GAS_KEY)
            await deploy_float(self.anvil.rpc_url, self.owner, self.plan.vault, GAS_KEY)
            await self.anvil.send(self.owner, 20 * ETHER)
            await self.anvil.send(self.evm_float, ether)
            self.platform.fundings.append(FundingHint(EVM.id, await self.anvil.height()))

    def order(self, lines: Sequence[tuple[str, int]], asset: str = "", **more: object) -> str:
        """A payout that the merchant signed, put before the signer; its id."""
        self.number += 1
        now = int(datetime.now(UTC).timestamp())
        network = EVM if lines[0][0].startswith("0x") else LTC
        facts: dict[str, object] = {
            "merchant": "mer_one", "network": network.id, "asset": asset or network.coin.id,
            "lines": tuple(intents.Line(*line) for line in lines), "fee_units": 10, "number": self.number,
            "not_before": now - 60, "expires_at": now + 3600, "reference": f"order {self.number}", **more,
        }  # fmt: skip
        return self.propose(intents.Payout(**facts))  # type: ignore[arg-type]  # the facts of a payout

    def propose(self, intent: intents.Payout, key: Ed25519PrivateKey | None = None) -> str:
        document = intents.document_of(intent)
        signature = (key or self.merchant).sign(intents.signing_input(document)).hex()
        signed = intents.SignedIntent(document.decode(), signature)
        self.platform.payouts.append(ProposedPayout(signed))
        return signed.id

    def settings(self) -> SignerSettings:
        here, token = self.directory, Path("unused")
        access = self.litecoin.access()
        return SignerSettings(
            root_fingerprint=self.house.quorum.fingerprint(), genesis_file=token, journal_file=here / "journal.sqlite",
            keystore_file=token, passphrase_file=token, tower_port=self.port or 1, platform_url="", token_file=token,
            networks={
                LTC.id: NetworkAccess(nodes=(NodeAccess(url=access.url, cookie_file=access.cookie_file),)),
                EVM.id: NetworkAccess(nodes=(NodeAccess(url=self.anvil.rpc_url),)),
            }, wait_seconds=0, watch_milliseconds=100, bump_after_seconds=1,
        )  # fmt: skip

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """A watchtower on a port of its own."""
        store = Store(self.directory / "tower.sqlite", self.house.quorum.fingerprint())

        def now_ms() -> int:
            return self.clocks.wall_ms()

        tower = WatchTower(store, self.house.lease_key, self.house.quorum.fingerprint(), (), 5_000, now_ms)
        async with listening(Server(tower, Bounds(8, 64_000_000, 15), lambda *_, **__: None), "127.0.0.1", 0) as where:
            self.port = where[1]
            self.tower = tower
            yield
        store.close()

    @asynccontextmanager
    async def signing(self) -> AsyncIterator[Signer]:
        """A signer that has begun."""
        settings = self.settings()
        signer = Signer(
            settings=settings,
            journal=Journal(settings.journal_file),
            keys=self.keys,
            tower=Tower("127.0.0.1", self.port, self.keys.sign_journal, self.clocks),
            platform=self.platform,  # type: ignore[arg-type]  # the fake that implements its methods
            sights={name: open_sight(name, access) for name, access in settings.networks.items()},
            clocks=self.clocks,
        )
        try:
            await signer.begin(self.genesis, "test")
            yield signer
        finally:
            await signer.close()


def fresh_address(network: object) -> str:
    """Somebody's address that nobody ever used."""
    if network is EVM:
        return address_of(PublicKey.from_secret(secrets.token_bytes(32)))
    return script_address(LTC, b"\x00\x14" + secrets.token_bytes(20))  # type: ignore[arg-type]  # of the Bitcoin family
