"""`holdfast deploy`: puts the vault and its forwarder factory on an EVM network, where their addresses already say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings, progress, say

if TYPE_CHECKING:
    from holdfast.chains.evm_deploy import Deployment
    from holdfast.core.evm import VaultPlan
    from holdfast.runtime.settings import NetworkSettings, Settings

GAS_KEY_BYTES = 32


class NotDeployable(BadInput):
    """There is nothing to deploy like that. Name a configured EVM network, its own officers, and a 32-byte gas key."""

    code = "not-deployable"


def deploy(
    network: Annotated[str, typer.Argument(help="A configured EVM network, as in `ethereum`.")],
    officer: Annotated[list[Path], typer.Argument(help="Each officer's public file, in the quorum's order.")],
    *,
    gas_key_file: Annotated[
        Path,
        typer.Option(help="File with the key of the account that pays the gas, hex; it gets no power over the vault."),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the vault's contracts on an EVM network, and compare every part with what was built. Safe to run again.

    Addresses can be shown and paid before; what was paid is flushed to the vault once it stands.

    Example: `holdfast deploy ethereum ada.json bo.json cy.json --gas-key-file gas.key`
    """
    settings = load_settings(config)
    wanted = settings.networks.get(network)
    if wanted is None or wanted.is_bitcoin:
        raise NotDeployable(f"{network[:40]!r} is no configured EVM network")
    plan = _plan(settings, wanted, officer)
    with progress("deploy") as advance:
        advance(network, 0, 1)
        done = asyncio.run(_deploy(wanted, plan, _gas_key(gas_key_file)))
    say(f"{network}: vault {plan.vault} behind factory {plan.factory}, each part compared with what was built")
    emit(
        {
            "network": network,
            "vault": plan.vault,
            "factory": plan.factory,
            "made": list(done.made),
            "gas_used": done.gas_used,
        },
        f"made: {', '.join(done.made) or 'nothing, it stood already'}; gas used: {done.gas_used:,}",
        as_json=as_json,
    )


def _plan(settings: Settings, wanted: NetworkSettings, files: list[Path]) -> VaultPlan:
    from holdfast.chains.evm_contracts import plan_vault
    from holdfast.core.quorum import read_quorum
    from holdfast.faces.cli.vault import public_file

    quorum = read_quorum(settings.quorum_file.read_bytes())
    officers = [public_file(path) for path in files]
    if [one.key for one in officers] != [one.key for one in quorum.officers]:
        raise NotDeployable(f"these are not the officers of {settings.quorum_file}, in their order")
    plan = plan_vault([one.evm_address for one in officers], quorum.threshold)
    if (plan.factory, plan.implementation, plan.vault) != (wanted.factory, wanted.implementation, wanted.vault):
        raise NotDeployable(f"the configuration names vault {wanted.vault}, these officers have {plan.vault}")
    return plan


def _gas_key(path: Path) -> bytes:
    from holdfast.runtime.config import read_secret

    try:
        key = bytes.fromhex(read_secret(path).removeprefix("0x"))
    except ValueError:
        raise NotDeployable(f"{path} is not hexadecimal") from None
    if len(key) != GAS_KEY_BYTES:
        raise NotDeployable(f"{path} has {len(key)} bytes")
    return key


async def _deploy(wanted: NetworkSettings, plan: VaultPlan, key: bytes) -> Deployment:
    from holdfast.chains import evm_deploy
    from holdfast.runtime.config import read_secret

    node = wanted.nodes[0]
    url = node.url if node.url is not None else read_secret(node.url_file) if node.url_file is not None else ""
    return await evm_deploy.deploy(url, plan, key)
