"""`holdfast vault check` and `settle`: the officers' checking machine at the terminal.

`check` plans a settlement, or reads another officer's draft, and writes what signing devices need. `settle` is all of
it at one go where everything lies on one machine: for chains of one's own, and for rehearsals.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from holdfast.faces.cli.passphrases import PassphraseFile
from holdfast.faces.cli.terminal import JsonOption, emit, say
from holdfast.vault.checks import CheckKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.core.journal import StoredEntry
    from holdfast.core.money import Asset
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
    direct: Annotated[str | None, typer.Option(metavar="ID", help="A payout that the quorum ordered directly.")] = None,
    kind: Annotated[CheckKind, typer.Option(help="Which of the vault's four ways out.")] = (CheckKind.SETTLEMENT),
    config: CheckingConfig = Path("checking.toml"),
) -> None:
    """Check a spend of the vault on this machine's own nodes; show what is paid, to whom, why; write draft and check.

    Example: `holdfast vault check bip122:12a7…/slip44:2 --evidence evidence.json --out settlement`
    """
    from holdfast.vault import drafts
    from holdfast.vault.checking import load

    settings = load(config)
    entries = _entries(evidence)
    given = draft.read_bytes() if draft is not None else None
    wish = Wish(CheckKind.DIRECT_PAYOUT if direct else kind, units, given, direct or "")
    made, checked = asyncio.run(_check(settings, asset, entries, wish))
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
    made, checked = asyncio.run(_check(settings, asset, _entries(evidence), Wish(CheckKind.SETTLEMENT)))
    say("\n".join(checked.lines))
    for path in keystore:
        made = drafts.sign(made, read_officer(path, passphrase_file), checked)
    done = drafts.finalise(made)
    gas_key = read_gas_key(gas_key_file) if gas_key_file is not None else None
    transaction = asyncio.run(_send(settings, done.network, done.to, done.data, gas_key))
    facts = {"asset": asset, "digest": checked.digest, "transaction": transaction or done.transaction}
    emit(facts, facts["transaction"], as_json=as_json)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be checked."""

    kind: CheckKind
    units: int | None = None
    draft: bytes | None = None
    """Another officer's; None: a new one is made."""
    payout: str = ""


async def _check(
    settings: CheckingSettings, asset: str, entries: Sequence[StoredEntry], wish: Wish
) -> tuple[AnyDraft, Check]:
    """The draft, made or given, and the check of it; remembered."""
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.runtime.tower_line import ask_status
    from holdfast.vault import drafts, settling
    from holdfast.vault.checking import open_bench, refuse_frozen

    if wish.kind is CheckKind.SETTLEMENT and settings.watchtower is not None:
        refuse_frozen(await ask_status(settings.watchtower), asset)
    memory, now = settling.read_memory(settings.memory_file), int(SYSTEM_CLOCK.now().timestamp())
    async with open_bench(settings, asset, entries, memory, now) as (bench, listed):
        if wish.draft is not None:
            made = drafts.read(wish.draft, bench.vault)
        else:
            made = await _plan(bench, listed, wish)
        checked = await _judge(bench, listed, made, wish)
    settling.write_memory(settings.memory_file, memory)
    return made, checked


async def _judge(bench: Bench, asset: Asset, draft: AnyDraft, wish: Wish) -> Check:
    """The check by the one checker of this kind."""
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.vault import settling

    match wish.kind:
        case CheckKind.SETTLEMENT:
            return await settling.check_settlement(bench, asset, draft)
        case CheckKind.CONSOLIDATION:
            return settling.check_consolidation(bench, draft)
        case CheckKind.DIRECT_PAYOUT:
            return await settling.check_direct_payout(bench, wish.payout, draft)
        case CheckKind.MIGRATION:
            return settling.check_migration(bench, asset, draft, int(SYSTEM_CLOCK.now().timestamp()))
        case _ as never:
            assert_never(never)


async def _plan(bench: Bench, asset: Asset, wish: Wish) -> AnyDraft:
    """A new draft of that kind."""
    from holdfast.vault import settling

    rate = await _fee_rate(bench)
    match wish.kind:
        case CheckKind.SETTLEMENT:
            return await settling.plan(bench, asset, wish.units, rate)
        case CheckKind.CONSOLIDATION:
            return settling.plan_consolidation(bench, rate)
        case CheckKind.DIRECT_PAYOUT:
            return await settling.plan_direct_payout(bench, wish.payout, rate)
        case CheckKind.MIGRATION:
            return await settling.plan_migration(bench, asset, rate)
        case _ as never:
            assert_never(never)


async def _fee_rate(bench: Bench) -> int:
    return max(FEE_PER_KVB_MIN, (await bench.eyes.outflow.fees()).per_kvb)


async def _send(settings: CheckingSettings, network: str, to: str, data: bytes, gas_key: bytes | None) -> str:
    """Hand a finished settlement to the first node; the transaction's hash where a gas account carried it."""
    from holdfast.chains.evm_house import GasAccount
    from holdfast.chains.outflow_agreement import open_outflow
    from holdfast.chains.own_nodes import accesses
    from holdfast.chains.rpc import RpcClient
    from holdfast.core.networks import network_by_id

    access = accesses(network_by_id(network), settings.networks[network].nodes)[0]
    if not to:
        outflow = open_outflow(network_by_id(network), [access])
        await outflow.send(data)
        await outflow.close()
        return ""
    if gas_key is None:
        raise typer.BadParameter("a Safe needs --gas-key-file: somebody pays the gas")
    rpc = RpcClient(access.url, name=access.name, credentials=access.credentials)
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
