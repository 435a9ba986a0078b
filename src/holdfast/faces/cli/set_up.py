"""Makes a set-up in a directory beside its final place and moves it there when it is whole: there is no half of one.

Officers' keys are made by `holdfast.vault` and written sealed; nothing here keeps or prints one.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from holdfast.chains.evm_contracts import plan_vault
from holdfast.core.evm import VaultPlan
from holdfast.core.networks import BitcoinNetwork, Network, known_network
from holdfast.faces.cli.config_text import config_text
from holdfast.faces.cli.local_setup import (
    LOCALNET_DIR,
    TOKEN_DECIMALS,
    TOKEN_SYMBOL,
    Localnet,
    token_address,
    write_localnet,
)
from holdfast.faces.cli.terminal import Advance
from holdfast.payments import api_keys
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.database import connected, migrate
from holdfast.runtime.embedded_database import embedded
from holdfast.runtime.secret_files import write_secret
from holdfast.runtime.settings import ConfirmationRule, NodeSettings, TokenSettings
from holdfast.vault import keystore
from holdfast.vault.officers import OfficerPublic, OfficersDiffer, descriptor_of, make_officer, public_part, quorum_of

WEBHOOK_KEY_BYTES = 32
STEPS = 4
LOCAL_RATES = {
    "rLTC/EUR": "85.00", "rLTC/USD": "92.00", "ETH/EUR": "2500.00", "ETH/USD": "2700.00",
    "USDT/EUR": "0.92", "USDT/USD": "1.00",
}  # fmt: skip
# Where a node of each network listens unless it was told otherwise.
NODE_PORTS = {
    "bitcoin": 8332, "bitcoin-testnet3": 18332, "bitcoin-regtest": 18443, "litecoin": 9332, "litecoin-regtest": 19443,
    "dogecoin": 22555, "dogecoin-regtest": 18332,
}  # fmt: skip
EVM_NODE_PORT = 8545
CONFIRMATIONS = {
    "bitcoin": [("0.01", 1), ("1", 3), (None, 6)],
    "litecoin": [("0.5", 2), ("100", 6), (None, 12)],
    "dogecoin": [("500", 6), ("100000", 20), (None, 60)],
    "ethereum": [("1", 12), (None, 64)],
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to set up."""

    directory: Path
    networks: Sequence[str]
    is_local: bool
    officers: int
    threshold: int
    officer_files: Sequence[Path]
    passphrase: str = field(repr=False)
    database_url: str | None
    port: int


def make(plan: Plan, advance: Advance) -> dict[str, object]:
    """Make the set-up; what a script wants to know of it.

    Raises `NetworkUnknown`, `OfficersDiffer`, `QuorumMalformed`, `PassphraseWeak`, `VaultOwnersInvalid` and what the
    database raises.
    """
    networks = [known_network(name) for name in plan.networks]
    work = plan.directory.with_name(f".{plan.directory.name}.new")
    shutil.rmtree(work, ignore_errors=True)  # left by an `init` that was stopped: nobody has used it
    work.mkdir(parents=True, mode=0o700)
    try:
        advance("officers' keys", 0, STEPS)
        officers = _read_officers(plan) if plan.officer_files else _make_officers(plan, work)
        quorum = quorum_of(officers, plan.threshold)
        (work / "quorum.json").write_bytes(quorum.document())
        advance("configuration", 1, STEPS)
        write_secret(work / "secrets" / "webhook.key", secrets.token_hex(WEBHOOK_KEY_BYTES))
        evm = plan_vault([officer.evm_address for officer in officers], plan.threshold)
        if plan.is_local:
            write_localnet(work, _localnet(plan, evm))
        (work / "holdfast.toml").write_text(_config(plan, networks, officers, evm), encoding="utf-8")
        advance("database", 2, STEPS)
        if plan.database_url is None:
            write_secret(work / "secrets" / "operator.key", asyncio.run(_database(work / "data" / "database")))
        advance("done", STEPS, STEPS)
        if plan.directory.exists():
            plan.directory.rmdir()  # empty: `init` has looked
        work.rename(plan.directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {
        "config": str(plan.directory / "holdfast.toml"),
        "networks": [network.id for network in networks],
        "root_fingerprint": quorum.fingerprint(),
        "officers": [officer.name for officer in officers],
        "threshold": plan.threshold,
        "api": f"http://127.0.0.1:{plan.port}",
        "operator_key_file": str(plan.directory / "secrets" / "operator.key") if plan.database_url is None else None,
    }


def _make_officers(plan: Plan, work: Path) -> list[OfficerPublic]:
    people = []
    for number in range(1, plan.officers + 1):
        name = f"officer-{number}"
        secret = make_officer()
        public = public_part(name, secret)
        facts = {"name": name, "key": public.key}
        sealed = keystore.seal("officer", facts, secret.pack(), plan.passphrase)
        keystore.write(work / "officers" / f"{name}.keystore", sealed)
        (work / "officers" / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(public)) + b"\n")
        people.append(public)
    if plan.is_local:
        write_secret(work / "officers" / "passphrase", plan.passphrase)
    return people


def _read_officers(plan: Plan) -> list[OfficerPublic]:
    people = []
    for path in plan.officer_files:
        try:
            people.append(msgspec.json.decode(path.read_bytes(), type=OfficerPublic))
        except (OSError, msgspec.DecodeError) as error:
            raise OfficersDiffer(f"{path}: {error}") from None
    return people


async def _database(data_dir: Path) -> str:
    """Make the embedded database with its roles and tables; the operator's first API key."""
    async with embedded(data_dir) as database:
        await migrate(database.owner_url)
        async with connected(database.owner_url) as connection:
            _, secret = await api_keys.bootstrap_operator(connection, SYSTEM_CLOCK.now())
    return secret


def _localnet(plan: Plan, evm: VaultPlan) -> Localnet:
    return Localnet(plan.port + 3, plan.port + 4, list(evm.owners), evm.threshold, token_address())


def _config(plan: Plan, networks: Sequence[Network], officers: Sequence[OfficerPublic], evm: VaultPlan) -> str:
    sections: dict[str, Mapping[str, object]] = {
        "api": {"port": plan.port, "public_url": f"http://127.0.0.1:{plan.port}"},
        "follower": {"metrics_port": plan.port + 1},
        "courier": {"metrics_port": plan.port + 2},
        "broadcaster": {"metrics_port": plan.port + 5},
        "webhooks": {"key_file": "secrets/webhook.key", **({"allow_private": True} if plan.is_local else {})},
    }
    if plan.is_local:
        sections["rates"] = {"sources": [], "fixed": LOCAL_RATES}
    if plan.database_url is not None:
        sections["database"] = {"url": plan.database_url}
    tables = {network.name: _network(plan, network, officers, evm) for network in networks}
    return config_text({"quorum_file": "quorum.json"}, sections, tables)


def _network(plan: Plan, network: Network, officers: Sequence[OfficerPublic], evm: VaultPlan) -> Mapping[str, object]:
    table: dict[str, object] = {"nodes": [_node(plan, network)], "confirmations": _confirmations(network)}
    if plan.is_local:
        table["poll_milliseconds"] = 500
    if isinstance(network, BitcoinNetwork):
        return {**table, "descriptor": descriptor_of(network, officers, plan.threshold)}
    table |= {"factory": evm.factory, "implementation": evm.implementation, "vault": evm.vault}
    if plan.is_local:
        table["tokens"] = [TokenSettings(contract=token_address(), symbol=TOKEN_SYMBOL, decimals=TOKEN_DECIMALS)]
    return table


def _node(plan: Plan, network: Network) -> NodeSettings:
    if not isinstance(network, BitcoinNetwork):
        port = plan.port + 4 if plan.is_local else EVM_NODE_PORT
        return NodeSettings(url=f"http://127.0.0.1:{port}")
    if plan.is_local:
        cookie = Path(LOCALNET_DIR) / "litecoin" / "regtest" / ".cookie"
        return NodeSettings(url=f"http://127.0.0.1:{plan.port + 3}", cookie_file=cookie)
    cookie = Path("~") / f".{network.uri_scheme}" / ".cookie"
    return NodeSettings(url=f"http://127.0.0.1:{NODE_PORTS[network.name]}", cookie_file=cookie)


def _confirmations(network: Network) -> list[ConfirmationRule]:
    if network.is_test:
        return [ConfirmationRule(count=1, below="10"), ConfirmationRule(count=3)]
    rules = CONFIRMATIONS.get(network.name, CONFIRMATIONS["ethereum"])
    return [ConfirmationRule(count=count, below=below) for below, count in rules]
