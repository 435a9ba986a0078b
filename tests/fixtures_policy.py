"""A record built from a journal written by hand: officers, a policy, merchants with money. No node, no clock."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_signer import COIN, ETHER, EVM, LTC, policy_text
from fixtures_watchtower import House, key_hex
from holdfast.core import intents, journal as j
from holdfast.core.addresses import BitcoinVault, EvmVault
from holdfast.core.certificates import CERTIFICATE_TAG, Certificate, Grant, Tariff
from holdfast.core.journal import Body, Entry, make_entry
from holdfast.core.orders import CHECKS, FloatKey, Genesis, Restore, Stage
from holdfast.core.quorum import Signature, tagged
from holdfast.policy.decide import Moment, Proposal
from holdfast.policy.document import POLICY_TAG
from holdfast.policy.people import Times
from holdfast.policy.record import Record

NOW = 1_800_000_000
MERCHANT = "mer_one"
SAFE, FLOAT = "0x" + "5a" * 20, "0x" + "f1" * 20
ADDRESS = "0x000102030405060708090a0b0c0d0e0f10111213"  # its EIP-55 form has no letters in it
OTHER = "0x1111111111111111111111111111111111111111"
VAULT = EvmVault("0x" + "11" * 20, "0x" + "22" * 20, "0x5a5a5A5A5a5a5A5A5a5a5A5A5a5a5A5A5a5a5A5A")
DESCRIPTOR = BitcoinVault("wsh(sortedmulti(2,…))")


@dataclass
class Books:
    """A journal and the record that it folds into."""

    house: House = field(default_factory=House)
    merchant: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    recovery: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    record: Record = field(default_factory=Record)
    entries: list[Entry] = field(default_factory=list)
    number: int = 1_000
    now: int = NOW

    def add(self, body: Body) -> Entry:
        entry = make_entry(self.record.head, body, self.now * 1000)
        self.record.apply(entry)
        self.entries.append(entry)
        return entry

    def sign(self, tag: bytes, document: bytes, by: int = 2) -> tuple[Signature, ...]:
        return tuple(Signature(key_hex(key), key.sign(tagged(tag, document)).hex()) for key in self.house.officers[:by])

    def begin(self) -> "Books":
        floats = (
            FloatKey(LTC.id, "02" + "ab" * 32, "rltc1qfloat", "rltc1qvault"),
            FloatKey(EVM.id, "02" + "cd" * 32, FLOAT, SAFE),
        )
        lease_key = key_hex(self.house.lease_key)
        order = Genesis(self.house.quorum.document().decode(), key_hex(self.house.journal_key), lease_key, floats, NOW)
        self.add(j.Ordered(self.house.order(order), NOW))
        return self

    def policy(self, text: str | None = None, at: int | None = None) -> None:
        document = text or policy_text()
        signatures = self.sign(POLICY_TAG, document.encode())
        self.add(j.PolicyTaken(document, signatures, at if at is not None else self.now))

    def certificate(self, version: int = 1, key: Ed25519PrivateKey | None = None, **more: object) -> Certificate:
        public = (key or self.merchant).public_key().public_bytes_raw()
        facts: dict[str, object] = {
            "merchant": MERCHANT, "key": public, "recovery_key": self.recovery.public_key().public_bytes_raw(),
            "networks": (Grant(LTC.id, DESCRIPTOR, ((0, 2**20),)), Grant(EVM.id, VAULT, ((0, 2**20),))),
            "tariff": Tariff(0), "version": version,
            "expires_at": datetime.fromtimestamp(NOW, UTC) + timedelta(days=300), **more,
        }  # fmt: skip
        return Certificate(**facts)  # type: ignore[arg-type]  # the facts of a certificate

    def certify(self, version: int = 1, key: Ed25519PrivateKey | None = None, **more: object) -> Certificate:
        made = self.certificate(version, key, **more)
        signatures = self.sign(CERTIFICATE_TAG, made.document())
        self.add(j.CertificateTaken(made.document().decode(), signatures, self.now))
        return made

    def certify_other(self, key: Ed25519PrivateKey | None = None) -> None:
        """A second merchant, with ranges of his own and no money."""
        grants = (Grant(EVM.id, VAULT, ((2**20, 2**21),)),)
        self.certify(1, key or Ed25519PrivateKey.generate(), merchant="mer_two", networks=grants)

    def deposit(self, units: int, asset: str = EVM.coin.id, merchant: str = MERCHANT) -> None:
        network = asset.partition("/")[0]
        key = f"0x{len(self.entries):064x}:native"
        self.add(j.Deposit(network, key, 1, merchant, asset, units, 0, 100, "0xhash"))

    def refill(self, network: str, seconds: int) -> None:
        self.add(j.Clock(network, "boot", seconds, self.now, self.now, seconds))

    def ready(self) -> "Books":
        """Begun, with a policy, a merchant and his money."""
        self.begin().policy()
        self.certify()
        self.deposit(200 * ETHER)
        self.deposit(200 * COIN, LTC.coin.id)
        return self

    def payout(self, units: int = ETHER, **more: object) -> intents.Payout:
        self.number += 1
        facts: dict[str, object] = {
            "merchant": MERCHANT, "network": EVM.id, "asset": EVM.coin.id, "lines": (intents.Line(ADDRESS, units),),
            "fee_units": 0, "number": self.number, "not_before": self.now - 10, "expires_at": self.now + 3600,
            "reference": f"order {self.number}", **more,
        }  # fmt: skip
        return intents.Payout(**facts)  # type: ignore[arg-type]  # the facts of a payout

    def signed(self, intent: intents.Intent, key: Ed25519PrivateKey | None = None) -> intents.SignedIntent:
        document = intents.document_of(intent)
        return intents.SignedIntent(
            document.decode(), (key or self.merchant).sign(intents.signing_input(document)).hex()
        )

    def proposal(
        self, intent: intents.Intent | None = None, key: Ed25519PrivateKey | None = None, **more: object
    ) -> Proposal:
        return Proposal(self.signed(intent or self.payout(), key), **more)  # type: ignore[arg-type]  # of a proposal

    def moment(self, *frozen: str, earliest: int = 0, latest: int = 0) -> Moment:
        return Moment(Times(self.now + earliest, self.now + latest), frozenset(frozen))

    def restore(self, stage: Stage, *scopes: str, at: int | None = None, checked: tuple[str, ...] = CHECKS) -> Restore:
        self.number += 1
        return Restore(scopes, stage, self.now if at is None else at, self.number, checked)

    def step(self, stage: Stage, *scopes: str) -> None:
        """Journal a step of a restore, whether it is due or not."""
        self.add(j.Ordered(self.house.order(self.restore(stage, *scopes)), self.now))

    def accept(self, proposal: Proposal) -> str:
        """Journal it as accepted, whatever anybody thinks of it."""
        network = intents.read_intent(proposal.intent.document.encode()).network
        facts = (proposal.payout, proposal.intent, proposal.approvals, proposal.slot, proposal.slot_units)
        self.add(j.Accepted(*facts, at=self.now, refill_seconds=self.record.refill_seconds(network)))
        return proposal.payout
