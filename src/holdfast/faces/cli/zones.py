"""Makes the directories of signer, watchtower and incident process: keys, settings, and what officers must sign.

Each can be moved to a host of its own; nothing in them refers to the platform's files. Keys are made by the rooms that
hold them, and written sealed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.core.networks import EvmNetwork, Network
from holdfast.faces.cli.config_text import toml
from holdfast.runtime.secret_files import write_secret
from holdfast.runtime.settings import NodeSettings

SIGNER_DIR, WATCHTOWER_DIR, INCIDENT_DIR = "signer", "watchtower", "incident"
TOKEN_BYTES = 32
_PASSPHRASE_BYTES = 24

NodesOf = Mapping[str, Sequence[NodeSettings]]
"""By CAIP-2 id."""


@dataclass(frozen=True, slots=True)
class SignerPlan:
    """What a signer is told at its making."""

    networks: Sequence[Network]
    nodes: NodesOf
    tokens: Mapping[str, Sequence[str]]
    """EVM: contracts of the tokens that count, by CAIP-2 id."""
    root_fingerprint: str
    platform_url: str
    tower: str
    """HOST:PORT."""
    is_fast: bool = False
    """Whether to look often and to seal keys cheaply: for chains of one's own."""


def make_signer(directory: Path, plan: SignerPlan) -> dict[str, str]:
    """A signer's directory with fresh keys; its public keys by name, which officers need for the genesis order."""
    from holdfast.core.keystore import COST, COST_MIN
    from holdfast.signer.keys import make_keys

    names = [name for network in plan.networks for name in _key_names(network)]
    keys, passphrase = make_keys(names), secrets.token_urlsafe(_PASSPHRASE_BYTES)
    directory.mkdir(parents=True, mode=0o700)
    keys.write(directory / "signer.keystore", passphrase, COST_MIN if plan.is_fast else COST)
    write_secret(directory / "passphrase", passphrase)
    write_secret(directory / "token", secrets.token_urlsafe(TOKEN_BYTES))
    (directory / "public.json").write_bytes(msgspec.json.format(msgspec.json.encode(keys.public_keys())) + b"\n")
    (directory / "signer.toml").write_text(_signer_text(plan), encoding="utf-8")
    return keys.public_keys()


def make_watchtower(
    directory: Path, plan: SignerPlan, accounts: Mapping[str, str], *, reader_keys: Sequence[str] = ()
) -> str:
    """A directory for the watchtower of the signer of `plan`, with a fresh lease key; the public part of that.

    `accounts`: the signer's gas accounts, by CAIP-2 id.
    """
    from holdfast.core.keystore import COST, COST_MIN
    from holdfast.vault import keystore
    from holdfast.vault.freezes import SingleKey, make_key

    passphrase = secrets.token_urlsafe(_PASSPHRASE_BYTES)
    made = make_key(SingleKey.LEASE, "watchtower", passphrase, COST_MIN if plan.is_fast else COST)
    directory.mkdir(parents=True, mode=0o700)
    keystore.write(directory / "lease.keystore", made)
    write_secret(directory / "passphrase", passphrase)
    host, _, port = plan.tower.rpartition(":")
    settings: dict[str, object] = {
        "root_fingerprint": plan.root_fingerprint, "data_file": "tower.sqlite", "lease_key_file": "lease.keystore",
        "passphrase_file": "passphrase", "host": host, "port": int(port), "reader_keys": list(reader_keys),
    }  # fmt: skip
    tables = _network_tables(plan)
    for name, account in accounts.items():
        tables[name] = {**tables[name], "accounts": [account]}
    head = "# The watchtower's settings. Its nodes should be others than the signer's: it believes none of them alone."
    (directory / "tower.toml").write_text(plain_text(head, settings, tables), encoding="utf-8")
    return made.public["key"]


@dataclass(frozen=True, slots=True)
class IncidentPlan:
    """What an incident process is told at its making."""

    root_fingerprint: str
    tower_port: int
    zones: Mapping[str, str]
    """By name: what answers `/ready`."""
    people: Mapping[str, str]
    """Who may decide: Ed25519 public keys by name."""
    networks: Mapping[str, Mapping[str, object]]
    """By CAIP-2 id: `nodes`, and `tokens`."""
    is_fast: bool = False


def make_incident(directory: Path, plan: IncidentPlan) -> str:
    """An incident process' directory with a fresh key; the public part of that, which the watchtower must know."""
    from holdfast.core.keystore import COST, COST_MIN
    from holdfast.vault import keystore
    from holdfast.vault.freezes import SingleKey, make_key

    passphrase = secrets.token_urlsafe(_PASSPHRASE_BYTES)
    made = make_key(SingleKey.INCIDENT, "incident", passphrase, COST_MIN if plan.is_fast else COST)
    directory.mkdir(parents=True, mode=0o700)
    keystore.write(directory / "incident.keystore", made)
    write_secret(directory / "passphrase", passphrase)
    top: dict[str, object] = {
        "root_fingerprint": plan.root_fingerprint, "directory": "incidents", "key_file": "incident.keystore",
        "passphrase_file": "passphrase", "tower_port": plan.tower_port,
    }  # fmt: skip
    tables = "".join(
        f"\n[{name}]\n{_lines(values)}" for name, values in (("zones", plan.zones), ("people", plan.people))
    )
    head = "# The incident process' settings: whom it tells stands in [[webhooks]], [email] and [[commands]]."
    text = plain_text(head, top, plan.networks).rstrip("\n") + "\n" + tables
    (directory / "incident.toml").write_text(text, encoding="utf-8")
    return made.public["key"]


def _key_names(network: Network) -> list[str]:
    return [network.id, f"{network.id}/gas"] if isinstance(network, EvmNetwork) else [network.id]


def _signer_text(plan: SignerPlan) -> str:
    host, _, port = plan.tower.rpartition(":")
    top: dict[str, object] = {
        "root_fingerprint": plan.root_fingerprint, "genesis_file": "genesis.json", "journal_file": "journal.sqlite",
        "keystore_file": "signer.keystore", "passphrase_file": "passphrase", "tower_host": host,
        "tower_port": int(port), "platform_url": plan.platform_url, "token_file": "token",
    }  # fmt: skip
    if plan.is_fast:
        top |= {"watch_milliseconds": 500, "bump_after_seconds": 60}
    head = "# The signer's settings. What it may sign stands in the policy that officers sign; nothing here loosens it."
    return plain_text(head, top, _network_tables(plan))


def _network_tables(plan: SignerPlan) -> dict[str, Mapping[str, object]]:
    tables: dict[str, Mapping[str, object]] = {}
    for network in plan.networks:
        table: dict[str, object] = {"nodes": list(plan.nodes[network.id])}
        if plan.tokens.get(network.id):
            table["tokens"] = list(plan.tokens[network.id])
        tables[network.id] = table
    return tables


def plain_text(head: str, top: Mapping[str, object], networks: Mapping[str, Mapping[str, object]]) -> str:
    """A zone's settings file: one line of comment, its own settings, and a table for each network."""
    tables = [f'\n[networks."{name}"]\n{_lines(table)}' for name, table in networks.items()]
    return "".join((head, "\n", _lines(top), *tables))


def _lines(settings: Mapping[str, object]) -> str:
    return "".join(f"{name} = {toml(value)}\n" for name, value in settings.items())
