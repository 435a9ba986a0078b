"""How many payouts a second the signer verifies, journals and signs, on one core, with a real watchtower beside it.

The signer runs in this process, its journal on the disk that is measured, its nodes real; only the platform's door is a
list in memory, so that nothing but the signer is measured. The limits beside it are what Ed25519 and ECDSA alone take.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import perf_counter, process_time

import msgspec
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.chains.localnet import AnvilNode, anvil, free_ports, litecoin_regtest
from holdfast.core import intents
from holdfast.core.addresses import EvmVault, deposit_address
from holdfast.core.certificates import CERTIFICATE_TAG, Certificate, Grant, Tariff
from holdfast.core.evm import parse_address
from holdfast.core.intents import Line, SignedIntent
from holdfast.core.journal import StoredEntry
from holdfast.core.leases import SignedLease
from holdfast.core.networks import known_network
from holdfast.core.orders import SignedOrder
from holdfast.core.quorum import Signature, is_signed, tagged
from holdfast.faces.cli.demo import command
from holdfast.faces.cli.local_setup import read_localnet
from holdfast.faces.cli.localnet import prepare
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.config import load as load_platform
from holdfast.runtime.secret_files import read_secret
from holdfast.signer.loop import Signer
from holdfast.signer.main import open_signer, read_genesis
from holdfast.signer.platform import DepositHint, FundingHint, Platform, ProposedPayout, SignedDocument, Waiting, Work
from holdfast.signer.settings import load as load_signer
from holdfast.signer.tower import TowerUnreachable
from holdfast.vault import keystore
from holdfast.vault.officers import OfficerSecret

BATCH = 1_000
WEI = 10**12
MERCHANT, INDEX = "mer_bench", 1
CHECKS = 3_000


@dataclass(slots=True)
class ListedWork(Platform):
    """The platform's door as a list in memory."""

    listed: Work = field(default_factory=lambda: Work("1", 0))
    mirrored: int = 0
    waiting: Sequence[Waiting] = ()

    async def work(self, wait_seconds: int) -> Work:
        """What is listed."""
        return msgspec.structs.replace(self.listed, journal_seq=self.mirrored)

    async def publish(
        self, after: int, entries: Sequence[StoredEntry], lease: SignedLease | None, waiting: Sequence[Waiting]
    ) -> int:
        """Taken."""
        self.mirrored, self.waiting = after + len(entries), waiting
        return self.mirrored


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """The figures, over batches of a thousand for about `seconds`."""
    key = Ed25519PrivateKey.generate()
    async with _signing(directory / "shop", key) as (signer, door):
        done, spent, worked = 0, 0.0, 0.0
        while spent < seconds or done == 0:
            door.listed = msgspec.structs.replace(door.listed, payouts=_payouts(key, done))
            started, busy = perf_counter(), process_time()
            await signer.round()
            spent += perf_counter() - started
            worked += process_time() - busy
            done += BATCH
            if door.waiting:
                raise AssertionError(f"{len(door.waiting)} payouts wait: {door.waiting[0]}")
    return {
        "payouts": done,
        "payouts_per_second": round(done / spent),
        "cpu_milliseconds_per_payout": round(worked * 1000 / done, 3),
        "ed25519_checks_per_second_limit": _ed25519(key),
        "ecdsa_signatures_per_second_limit": _ecdsa(),
    }


def _payouts(key: Ed25519PrivateKey, first: int) -> tuple[ProposedPayout, ...]:
    now, network = int(SYSTEM_CLOCK.now().timestamp()), known_network("anvil")
    made = []
    for number in range(first, first + BATCH):
        line = Line(parse_address(f"0x{number + 2**40:040x}"), WEI)
        intent = intents.Payout(
            merchant=MERCHANT, network=network.id, asset=network.coin.id, lines=(line,), fee_units=0,
            number=number + 1, not_before=now - 60, expires_at=now + 3600, reference=f"bench {number}",
        )  # fmt: skip
        document = intents.document_of(intent)
        signed = SignedIntent(document.decode(), key.sign(intents.signing_input(document)).hex())
        made.append(ProposedPayout(signed))
    return tuple(made)


@asynccontextmanager
async def _signing(directory: Path, key: Ed25519PrivateKey) -> AsyncIterator[tuple[Signer, ListedWork]]:
    """A local set-up's signer in this process, with a merchant who has money, and its watchtower in another."""
    port = free_ports(7)
    await command("init", "--local", str(directory), "--port", str(port))
    plan, data = read_localnet(directory), directory / "localnet"
    async with (
        litecoin_regtest(data / "litecoin", plan.litecoin_port) as litecoin,
        anvil(data / "anvil", plan.anvil_port) as evm,
    ):
        await prepare(litecoin, evm, plan)
        argv = (
            sys.executable,
            "-m",
            "holdfast.watchtower.main",
            "--config",
            str(directory / "watchtower" / "tower.toml"),
        )
        tower = await asyncio.create_subprocess_exec(*argv, stdout=DEVNULL, stderr=DEVNULL)
        signer = open_signer(load_signer(directory / "signer" / "signer.toml"))
        door = ListedWork("", Path())
        signer.platform = door
        try:
            door.listed = await _first_work(directory, key, evm)
            await _begun(signer)
            yield signer, door
        finally:
            await signer.close()
            tower.terminate()
            await tower.wait()


async def _begun(signer: Signer) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await signer.begin(read_genesis(signer.settings.genesis_file), "bench")
            except TowerUnreachable:
                await asyncio.sleep(0.1)
            else:
                return


async def _first_work(directory: Path, key: Ed25519PrivateKey, evm: AnvilNode) -> Work:
    """Policy, the merchant's certificate, his deposit and the float's money."""
    settings = load_platform(directory / "holdfast.toml").networks["anvil"]
    network = settings.network
    vault = EvmVault(settings.factory or "", settings.implementation or "", settings.vault or "")
    until = SYSTEM_CLOCK.now().replace(microsecond=0) + timedelta(days=90)
    public = key.public_key().public_bytes_raw()
    grants = (Grant(network.id, vault, ((0, 2**20),)),)
    document = Certificate(MERCHANT, public, b"\1" * 32, grants, Tariff(0), 1, until).document()
    funded = await evm.height()
    await evm.send(deposit_address(network, vault, INDEX), 10**18)
    policy = msgspec.json.decode((directory / "policy.json").read_bytes(), type=SignedOrder)
    return Work(
        "1",
        0,
        policies=(SignedDocument(policy.document, policy.signatures),),
        certificates=(SignedDocument(document.decode(), _officers(directory, document)),),
        deposits=(DepositHint(network.id, INDEX, MERCHANT, await evm.height()),),
        fundings=tuple(FundingHint(network.id, height) for height in range(1, funded + 1)),
    )


def _officers(directory: Path, document: bytes) -> tuple[Signature, ...]:
    passphrase, made = read_secret(directory / "officers" / "passphrase"), []
    for path in sorted((directory / "officers").glob("*.keystore"))[:2]:
        sealed = keystore.read(path)
        secret = OfficerSecret.unpack(keystore.unseal(sealed, passphrase))
        signature = Ed25519PrivateKey.from_private_bytes(secret.signing).sign(tagged(CERTIFICATE_TAG, document))
        made.append(Signature(sealed.public["key"], signature.hex()))
    return tuple(made)


def _ed25519(key: Ed25519PrivateKey) -> int:
    message, public = b"\1" * 64, key.public_key().public_bytes_raw().hex()
    signature, started = key.sign(message).hex(), perf_counter()
    for _ in range(CHECKS):
        is_signed(public, signature, message)
    return round(CHECKS / (perf_counter() - started))


def _ecdsa() -> int:
    key, started = PrivateKey(b"\1" * 32), perf_counter()
    for _ in range(CHECKS):
        key.sign_recoverable(b"\2" * 32, hasher=None)
    return round(CHECKS / (perf_counter() - started))
