"""Makes a set-up in a directory beside its final place and moves it there when it is whole: there is no half of one.

Officers' keys are made by `holdfast.vault` and written sealed; nothing here keeps or prints one.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec
from coincurve import PublicKey

from holdfast.chains.evm_contracts import plan_vault
from holdfast.core.evm import VaultPlan
from holdfast.core.evm_transactions import address_of
from holdfast.core.money import Asset
from holdfast.core.networks import BitcoinNetwork, Network, erc20_asset, known_network
from holdfast.core.orders import FloatKey, SignedOrder
from holdfast.core.quorum import Quorum
from holdfast.faces.cli.config_text import config_text
from holdfast.faces.cli.local_setup import (
    LOCALNET_DIR,
    TOKEN_DECIMALS,
    TOKEN_SYMBOL,
    Localnet,
    token_address,
    write_localnet,
)
from holdfast.faces.cli.policy_text import CAP_DEFAULT, CAPS, policy_text
from holdfast.faces.cli.terminal import Advance
from holdfast.faces.cli.zones import (
    INCIDENT_DIR,
    SIGNER_DIR,
    WATCHTOWER_DIR,
    IncidentPlan,
    SignerPlan,
    make_incident,
    make_signer,
    make_watchtower,
    plain_text,
)
from holdfast.payments import api_keys, signer_documents
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.database import connected, migrate
from holdfast.runtime.embedded_database import embedded
from holdfast.runtime.secret_files import read_secret, write_secret
from holdfast.runtime.settings import ConfirmationRule, FloatSettings, NodeSettings, TokenSettings
from holdfast.vault import documents, keystore, orders
from holdfast.vault.officers import (
    OfficerPublic,
    OfficersDiffer,
    OfficerSecret,
    descriptor_of,
    make_officer,
    public_part,
    quorum_of,
)

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
    reword: Callable[[str], str] = str
    """What makes of the local policy's text the one that officers sign: other limits, shorter delays."""


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
        made = [] if plan.officer_files else _make_officers(plan, work)
        officers = _read_officers(plan) if plan.officer_files else [public for public, _ in made]
        quorum = quorum_of(officers, plan.threshold)
        (work / "quorum.json").write_bytes(quorum.document())
        advance("configuration", 1, STEPS)
        write_secret(work / "secrets" / "webhook.key", secrets.token_hex(WEBHOOK_KEY_BYTES))
        evm = plan_vault([officer.evm_address for officer in officers], plan.threshold)
        floats = _make_zones(plan, work, made, quorum) if plan.is_local else {}
        if plan.is_local:
            write_localnet(work, _localnet(plan, evm, floats, work))
        (work / "holdfast.toml").write_text(_config(plan, networks, officers, evm, floats), encoding="utf-8")
        advance("database", 2, STEPS)
        if plan.database_url is None:
            policy = signed_file(work / "policy.json") if plan.is_local else None
            write_secret(work / "secrets" / "operator.key", asyncio.run(_database(work / "data" / "database", policy)))
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


def _make_officers(plan: Plan, work: Path) -> list[tuple[OfficerPublic, OfficerSecret]]:
    people = []
    for number in range(1, plan.officers + 1):
        name = f"officer-{number}"
        secret = make_officer()
        public = public_part(name, secret)
        facts = {"name": name, "key": public.key}
        sealed = keystore.seal("officer", facts, secret.pack(), plan.passphrase)
        keystore.write(work / "officers" / f"{name}.keystore", sealed)
        (work / "officers" / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(public)) + b"\n")
        people.append((public, secret))
    if plan.is_local:
        write_secret(work / "officers" / "passphrase", plan.passphrase)
    return people


def _make_zones(
    plan: Plan, work: Path, made: Sequence[tuple[OfficerPublic, OfficerSecret]], quorum: Quorum
) -> dict[str, FloatKey]:
    """The zones of a local set-up that know no platform file; genesis order and policy are signed by its officers."""
    networks = [known_network(name) for name in plan.networks]
    now = SYSTEM_CLOCK.now()
    up = Path("..")
    nodes = {str(network.id): [_seen_from(up, _node(plan, network))] for network in networks}
    evm_ids = [network.id for network in networks if not isinstance(network, BitcoinNetwork)]
    tokens = {str(network): [token_address()] for network in evm_ids}
    reader = make_incident(work / INCIDENT_DIR, _incident_plan(plan, quorum, nodes, tokens))
    signer_plan = SignerPlan(
        networks=networks,
        nodes=nodes,
        tokens=tokens,
        root_fingerprint=quorum.fingerprint(),
        platform_url=f"http://127.0.0.1:{plan.port}",
        tower=f"127.0.0.1:{plan.port + 6}",
        is_fast=True,
    )
    keys = make_signer(work / SIGNER_DIR, signer_plan)
    gas = {str(each): address_of(PublicKey(bytes.fromhex(keys[f"{each}/gas"]))) for each in evm_ids}
    lease_key = make_watchtower(work / WATCHTOWER_DIR, signer_plan, gas, reader_keys=[reader])
    write_secret(work / "secrets" / "signer.token", read_secret(work / SIGNER_DIR / "token"))
    people = [public for public, _ in made]
    order = orders.genesis(quorum, people, keys, lease_key, int(now.timestamp()))
    _sign_and_write(work / SIGNER_DIR / "genesis.json", orders.unsigned(order), made, quorum)
    text = plan.reword(policy_text([(network, _assets(network)) for network in networks], now + timedelta(days=365)))
    (work / "policy.toml").write_text(text, encoding="utf-8")
    _sign_and_write(work / "policy.json", SignedOrder(text, ()), made, quorum)
    (work / "checking.toml").write_text(_checking(quorum, people, networks, plan), encoding="utf-8")
    return {one.network: one for one in order.floats}


def _incident_plan(
    plan: Plan, quorum: Quorum, nodes: Mapping[str, Sequence[NodeSettings]], tokens: Mapping[str, Sequence[str]]
) -> IncidentPlan:
    """The incident process of a local set-up: it asks every zone that answers, and its officers may decide."""
    ports = {"api": 0, "follower": 1, "courier": 2, "broadcaster": 5}
    return IncidentPlan(
        root_fingerprint=quorum.fingerprint(),
        tower_port=plan.port + 6,
        zones={name: f"http://127.0.0.1:{plan.port + more}/ready" for name, more in ports.items()},
        people={one.name: one.key for one in quorum.officers},
        networks={
            name: {"nodes": list(those), **({"tokens": list(tokens[name])} if name in tokens else {})}
            for name, those in nodes.items()
        },
        is_fast=True,
    )


def _checking(quorum: Quorum, people: Sequence[OfficerPublic], networks: Sequence[Network], plan: Plan) -> str:
    """The settings of the officers' checking machine; here its nodes are the local ones too."""
    top = {
        "root_fingerprint": quorum.fingerprint(),
        "officers": [f"officers/{one.name}.json" for one in people],
        "threshold": quorum.threshold,
    }
    tables: dict[str, Mapping[str, object]] = {network.id: {"nodes": [_node(plan, network)]} for network in networks}
    return plain_text("# The officers' checking machine: it needs nodes of its own, and believes nobody.", top, tables)


def _sign_and_write(
    path: Path, document: SignedOrder, made: Sequence[tuple[OfficerPublic, OfficerSecret]], quorum: Quorum
) -> None:
    for _, secret in made[: quorum.threshold]:
        document = documents.sign(document, secret.signing)
    documents.write(path, document)


def signed_file(path: Path) -> SignedOrder:
    """A document that officers signed, as `init` wrote it."""
    return documents.read(path)


def _seen_from(up: Path, node: NodeSettings) -> NodeSettings:
    cookie = node.cookie_file
    return node if cookie is None else msgspec.structs.replace(node, cookie_file=up / cookie)


def _assets(network: Network) -> list[Asset]:
    if isinstance(network, BitcoinNetwork):
        return [network.coin]
    return [network.coin, erc20_asset(network, token_address(), TOKEN_SYMBOL, TOKEN_DECIMALS)]


def _read_officers(plan: Plan) -> list[OfficerPublic]:
    people = []
    for path in plan.officer_files:
        try:
            people.append(msgspec.json.decode(path.read_bytes(), type=OfficerPublic))
        except (OSError, msgspec.DecodeError) as error:
            raise OfficersDiffer(f"{path}: {error}") from None
    return people


async def _database(data_dir: Path, policy: SignedOrder | None) -> str:
    """Make the embedded database with its roles and tables, and put the policy before the signer; the operator's first
    API key."""
    async with embedded(data_dir) as database:
        await migrate(database.owner_url)
        async with connected(database.owner_url) as connection:
            key, secret = await api_keys.bootstrap_operator(connection, SYSTEM_CLOCK.now())
            if policy is not None:
                handed = signer_documents.Handed(key.id, SYSTEM_CLOCK.now())
                await signer_documents.put_policy(connection, policy.document, policy.signatures, handed)
    return secret


def _localnet(plan: Plan, evm: VaultPlan, floats: Mapping[str, FloatKey], work: Path) -> Localnet:
    public = orders.read_public_keys((work / SIGNER_DIR / "public.json").read_bytes())
    gas_key = PublicKey(bytes.fromhex(public[f"{known_network('anvil').id}/gas"]))
    keys = {known_network(name).name: floats[known_network(name).id] for name in plan.networks}
    return Localnet(
        litecoin_port=plan.port + 3,
        anvil_port=plan.port + 4,
        owners=list(evm.owners),
        threshold=evm.threshold,
        token=token_address(),
        float_owner=_owner(keys["anvil"]),
        gas_account=address_of(gas_key),
        litecoin_float=keys["litecoin-regtest"].address,
    )


def _owner(key: FloatKey) -> str:
    return address_of(PublicKey(bytes.fromhex(key.public_key)))


def _config(
    plan: Plan,
    networks: Sequence[Network],
    officers: Sequence[OfficerPublic],
    evm: VaultPlan,
    floats: Mapping[str, FloatKey],
) -> str:
    sections: dict[str, Mapping[str, object]] = {
        "api": {"port": plan.port, "public_url": f"http://127.0.0.1:{plan.port}"},
        "follower": {"metrics_port": plan.port + 1},
        "courier": {"metrics_port": plan.port + 2},
        "broadcaster": {"metrics_port": plan.port + 5},
        "webhooks": {"key_file": "secrets/webhook.key", **({"allow_private": True} if plan.is_local else {})},
    }
    if plan.is_local:
        sections["rates"] = {"sources": [], "fixed": LOCAL_RATES}
        sections["signer"] = {"token_file": "secrets/signer.token"}
        sections["watchtower"] = {"address": f"127.0.0.1:{plan.port + 6}"}
    if plan.database_url is not None:
        sections["database"] = {"url": plan.database_url}
    tables = {
        network.name: {**_network(plan, network, officers, evm), **_float(network, floats.get(network.id))}
        for network in networks
    }
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


def _float(network: Network, key: FloatKey | None) -> Mapping[str, object]:
    """Where the float lies, as the genesis order has it, with the cap that the policy begins with."""
    if key is None:
        return {}
    cap = {asset.symbol: str(CAPS.get(asset.symbol, CAP_DEFAULT)) for asset in _assets(network)}
    low = {symbol: str(int(whole) // 5) for symbol, whole in cap.items()}
    if isinstance(network, BitcoinNetwork):
        return {"float": FloatSettings(address=key.address, vault_address=key.vault, cap=cap, low=low)}
    return {"float": FloatSettings(address=key.address, owner=_owner(key), cap=cap, low=low)}


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
