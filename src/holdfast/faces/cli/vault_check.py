"""`holdfast vault check` and `settle`: the officers' checking machine at the terminal.

`check` plans a settlement, or reads another officer's draft, and writes what signing devices need. `settle` is all of
it at one go where everything lies on one machine: for chains of one's own, and for rehearsals.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.passphrases import PassphraseFile
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.core.journal import StoredEntry
    from holdfast.vault.checking import CheckingSettings
    from holdfast.vault.checks import Check
    from holdfast.vault.drafts import AnyDraft
    from holdfast.vault.settling import Bench

FEE_PER_KVB_MIN = 1_000
CheckingConfig = Annotated[
    Path, typer.Option("--config", "-c", help="The checking machine's settings, `checking.toml`.")
]
AssetArgument = Annotated[str, typer.Argument(help="The asset's CAIP-19 id.")]


def register(vault: typer.Typer) -> None:
    """Add the commands to `holdfast vault`."""
    vault.command("check")(check)
    vault.command("settle")(settle)


def check(  # noqa: PLR0913  one option of the command line each
    asset: AssetArgument,
    *,
    evidence: Annotated[Path, typer.Option(help="The exported journal: what `GET /v1/evidence` answered.")],
    out: Annotated[Path, typer.Option(help="Directory for draft and check; it must not be there yet.")],
    units: Annotated[
        int | None, typer.Option(min=1, help="Smallest units; default: as much as may be settled.")
    ] = None,
    draft: Annotated[Path | None, typer.Option(help="Another officer's draft to check, instead of a new one.")] = None,
    consolidate: Annotated[bool, typer.Option("--consolidate", help="Make one coin of the vault's smallest.")] = False,
    config: CheckingConfig = Path("checking.toml"),
) -> None:
    """Check a settlement on this machine's own nodes: show what is paid, to whom and why, and write draft and check.

    Example: `holdfast vault check bip122:12a7…/slip44:2 --evidence evidence.json --out settlement`
    """
    from holdfast.vault import drafts
    from holdfast.vault.checking import load

    settings = load(config)
    entries = _entries(evidence)
    given = draft.read_bytes() if draft is not None else None
    made, checked = asyncio.run(_check(settings, asset, entries, (units, given), consolidate=consolidate))
    out.mkdir(parents=True)
    (out / f"draft.{'psbt' if asset.startswith('bip122') else 'safe.json'}").write_bytes(drafts.write(made))
    (out / "check.json").write_bytes(checked.document())
    say("\n".join(checked.lines))
    emit(None, str(out), as_json=False)


def settle(  # noqa: PLR0913  one option of the command line each
    asset: AssetArgument,
    *,
    evidence: Annotated[Path, typer.Option(help="The exported journal: what `GET /v1/evidence` answered.")],
    keystore: Annotated[list[Path], typer.Option(help="An officer's keystore; once for each who signs.")],
    gas_key_file: Annotated[Path | None, typer.Option(help="EVM: key of the account that pays the gas, hex.")] = None,
    passphrase_file: PassphraseFile = None,
    config: CheckingConfig = Path("checking.toml"),
    as_json: JsonOption = False,
) -> None:
    """Check, sign, combine and send a settlement where all keystores lie on this machine: for rehearsals.

    Example: `holdfast vault settle eip155:31337/slip44:1 --evidence evidence.json --keystore officers/a.keystore
    --keystore officers/b.keystore --gas-key-file gas.key --config shop/checking.toml`
    """
    from holdfast.chains.evm_house import read_gas_key
    from holdfast.faces.cli.vault_spend import read_officer
    from holdfast.vault import drafts
    from holdfast.vault.checking import load

    settings = load(config)
    made, checked = asyncio.run(_check(settings, asset, _entries(evidence), (None, None), consolidate=False))
    say("\n".join(checked.lines))
    for path in keystore:
        made = drafts.sign(made, read_officer(path, passphrase_file), checked)
    done = drafts.finalise(made)
    gas_key = read_gas_key(gas_key_file) if gas_key_file is not None else None
    transaction = asyncio.run(_send(settings, done.network, done.to, done.data, gas_key))
    facts = {"asset": asset, "digest": checked.digest, "transaction": transaction or done.transaction}
    emit(facts, facts["transaction"], as_json=as_json)


async def _check(
    settings: CheckingSettings,
    asset: str,
    entries: Sequence[StoredEntry],
    wanted: tuple[int | None, bytes | None],
    *,
    consolidate: bool,
) -> tuple[AnyDraft, Check]:
    """The draft, made or given, and the check of it; remembered."""
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.vault import drafts, settling
    from holdfast.vault.checking import open_bench

    units, given = wanted
    memory, now = settling.read_memory(settings.memory_file), int(SYSTEM_CLOCK.now().timestamp())
    async with open_bench(settings, asset, entries, memory, now) as (bench, listed):
        if given is not None:
            made = drafts.read(given, bench.vault)
        elif consolidate:
            made = settling.plan_consolidation(bench, await _fee_rate(bench))
        else:
            made = await settling.plan(bench, listed, units, await _fee_rate(bench))
        if consolidate:
            checked = settling.check_consolidation(bench, made)
        else:
            checked = await settling.check_settlement(bench, listed, made)
    settling.write_memory(settings.memory_file, memory)
    return made, checked


async def _fee_rate(bench: Bench) -> int:
    return max(FEE_PER_KVB_MIN, (await bench.eyes.outflow.fees()).per_kvb)


async def _send(settings: CheckingSettings, network: str, to: str, data: bytes, gas_key: bytes | None) -> str:
    """Hand a finished settlement to the first node; the transaction's hash where a gas account carried it."""
    from holdfast.chains.evm_house import GasAccount
    from holdfast.chains.outflow_agreement import Access, open_outflow
    from holdfast.chains.rpc import Credentials, RpcClient
    from holdfast.core.networks import network_by_id

    node = settings.networks[network].nodes[0]
    credentials = Credentials(node.cookie_file, node.rpcuser, node.rpcpassword_file)
    if not to:
        outflow = open_outflow(network_by_id(network), [Access(node.url, credentials)])
        await outflow.send(data)
        await outflow.close()
        return ""
    if gas_key is None:
        raise typer.BadParameter("a Safe needs --gas-key-file: somebody pays the gas")
    rpc = RpcClient(node.url, credentials=credentials)
    try:
        return (await GasAccount(rpc, gas_key).send(to, data)).transaction
    finally:
        await rpc.close()


def _entries(path: Path) -> list[StoredEntry]:
    """The entries of an evidence file."""
    from holdfast.vault.evidence import read_export

    try:
        return read_export(path.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
