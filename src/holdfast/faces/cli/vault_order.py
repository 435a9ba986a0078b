"""`holdfast vault order`: officers' orders, policies and approvals, signed by one officer after the other.

And `holdfast vault key`: the single keys of who may freeze, and of a watchtower.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.passphrases import PassphraseFile, new_passphrase, old_passphrase
from holdfast.faces.cli.terminal import JsonOption, emit, say
from holdfast.faces.cli.vault import public_file

if TYPE_CHECKING:
    from holdfast.core.orders import Order
    from holdfast.core.quorum import Quorum

app = typer.Typer(help="Officers' orders, policies and approvals: make, show, sign, combine.", no_args_is_help=True)

OrderFile = Annotated[Path, typer.Argument(help="An order, a policy or an intent; bare, or with signatures so far.")]
OutFile = Annotated[Path, typer.Option("--out", help="The file to write; it must not be there yet.")]
OfficerFiles = Annotated[list[Path], typer.Option("--officer", help="Each officer's public file; once for each.")]
QuorumFile = Annotated[Path, typer.Option("--quorum", help="The quorum document.")]
LeaseKey = Annotated[str, typer.Option("--lease-key", metavar="HEX", help="The watchtower's public key.")]
SignerFile = Annotated[Path, typer.Option("--signer", help="The signer's public keys: what `signer keys` printed.")]
Number = Annotated[int | None, typer.Option(min=1, help="Unique among all orders; without it, the seconds since 1970.")]


def register(vault: typer.Typer) -> None:
    """Adds these commands to `holdfast vault`."""
    vault.add_typer(app, name="order")
    vault.command("key")(key)


def key(
    kind: Annotated[str, typer.Argument(metavar="freeze|lease", help="What the key may do.")],
    name: Annotated[str, typer.Argument(help="Whose it is, or which watchtower's.")],
    *,
    out: Annotated[Path, typer.Option(help="Directory for NAME.KIND.keystore.")] = Path(),
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key that may freeze payouts and nothing else, or a watchtower's lease key. Prints the public key.

    Example: `holdfast vault key freeze night-watch --out /media/night-watch`
    """
    from holdfast.vault import keystore
    from holdfast.vault.freezes import SingleKey, make_key

    if kind not in list(SingleKey):
        raise typer.BadParameter(f"{kind} is none of {', '.join(SingleKey)}")
    made = make_key(SingleKey(kind), name, new_passphrase(passphrase_file, name))
    path = out / f"{name}.{kind}.keystore"
    keystore.write(path, made)
    emit({"keystore": str(path), "key": made.public["key"]}, made.public["key"], as_json=as_json)


@app.command("genesis")
def genesis(
    *, quorum_file: QuorumFile, officers: OfficerFiles, signer: SignerFile, lease_key: LeaseKey, out: OutFile
) -> None:
    """Make the order with which a journal begins: quorum, journal key, lease key, and the float of every network.

    Example: `holdfast vault order genesis --quorum quorum.json --officer ada.json --officer bo.json
    --signer signer.json --lease-key 5f… --out genesis.json`
    """
    from holdfast.vault import orders

    people = [public_file(path) for path in officers]
    keys = orders.read_public_keys(_bytes(signer))
    _make(orders.genesis(_quorum(quorum_file), people, keys, lease_key, _now()), out)


@app.command("restore")
def restore(
    stage: Annotated[
        str, typer.Argument(metavar="allowlisted|limited|normal", help="The next step; none is left out.")
    ],
    scopes: Annotated[
        list[str], typer.Argument(help="CAIP-2 ids, CAIP-19 ids, merchants' ids, or `*`, which ends every freeze.")
    ],
    *,
    checked: Annotated[
        list[str], typer.Option(help="What the officers have seen, once for each; `holdfast restore` names them.")
    ],
    number: Number = None,
    out: OutFile,
) -> None:
    """Make the order for the next step back from a freeze. It ends what is frozen now, nothing that is frozen later.

    Example: `holdfast vault order restore allowlisted '*' --checked journal-verified --checked reconciled
    --checked float-rotated --out step.json`, then `order sign`, then `holdfast restore --hand-in`
    """
    from holdfast.core.orders import CHECKS, STEPS, Restore, Stage

    if stage not in list(STEPS):
        raise typer.BadParameter(f"{stage} is none of {', '.join(STEPS)}")
    step = Stage(stage)
    if unknown := set(checked) - set(CHECKS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: the checks are {', '.join(CHECKS)}")
    if missing := STEPS[step][1].difference(checked):
        raise typer.BadParameter(f"this step needs these checks as well: {', '.join(sorted(missing))}")
    _make(Restore(tuple(scopes), step, _now(), number or _now(), tuple(checked)), out)


@app.command("rotate-float")
def rotate_float(  # noqa: PLR0913  one option of the command line each
    network: Annotated[str, typer.Argument(help="The network's CAIP-2 id.")],
    *,
    key_name: Annotated[str, typer.Option("--key", help="Name of the new key among the signer's, e.g. `eip155:1/2`.")],
    signer: SignerFile,
    quorum_file: QuorumFile,
    officers: OfficerFiles,
    out: OutFile,
) -> None:
    """Make the order that moves a network's float to a new key; what lies under the old one goes to the vault.

    Example: `holdfast vault order rotate-float eip155:1 --key eip155:1/2 --signer signer.json --quorum quorum.json
    --officer ada.json --officer bo.json --out rotate.json`
    """
    from holdfast.core.networks import network_by_id
    from holdfast.core.orders import RotateFloat
    from holdfast.vault import orders

    public = orders.read_public_keys(_bytes(signer)).get(key_name, "")
    people = [public_file(path) for path in officers]
    moved = orders.float_key(network_by_id(network), public, people, _quorum(quorum_file).threshold)
    _make(RotateFloat(moved, _now()), out)


@app.command("re-anchor")
def re_anchor(
    *,
    seq: Annotated[int, typer.Option(min=1, help="The newest entry that the officers vouch for.")],
    head: Annotated[str, typer.Option(metavar="HEX", help="Its hash.")],
    lease_key: LeaseKey,
    number: Number = None,
    out: OutFile,
) -> None:
    """Make the order that lets a journal go on after the watchtower's store was lost, or with a new watchtower.

    Example: `holdfast vault order re-anchor --seq 5120 --head 3fc9… --lease-key 5f… --out re-anchor.json`
    """
    from holdfast.core.orders import Reanchor

    _make(Reanchor(seq, head, lease_key, number or _now()), out)


@app.command("decide")
def decide(
    merchant: Annotated[str, typer.Argument(help="The merchant's id.")],
    version: Annotated[int, typer.Argument(min=1, help="The certificate version that counts.")],
    *,
    number: Number = None,
    out: OutFile,
) -> None:
    """Make the order that settles a merchant's vetoed key change.

    Example: `holdfast vault order decide mer_01j… 3 --out decide.json`
    """
    from holdfast.core.orders import Decide

    _make(Decide(merchant, version, number or _now()), out)


@app.command("direct-payout")
def direct_payout(
    intent: Annotated[Path, typer.Argument(help="The merchant's signed intent: document and signature, as JSON.")],
    *,
    number: Number = None,
    out: OutFile,
) -> None:
    """Make the order that the vault itself pays an intent: a sum above the float, or while the float is gone.

    Example: `holdfast vault order direct-payout intent.json --out direct.json`
    """
    import msgspec

    from holdfast.core.intents import SignedIntent
    from holdfast.core.orders import DirectPayout

    try:
        signed = msgspec.json.decode(_bytes(intent), type=SignedIntent)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"{intent}: {error}") from None
    _make(DirectPayout(signed.document, signed.signature, number or _now()), out)


@app.command("migration")
def migration(
    network: Annotated[str, typer.Argument(help="The network's CAIP-2 id.")],
    address: Annotated[str, typer.Argument(help="Where everything goes: the new vault's own address, or its Safe.")],
    *,
    days: Annotated[int, typer.Option(min=0, help="How long from now it waits at the least.")] = 7,
    number: Number = None,
    out: OutFile,
) -> None:
    """Make the order that moves a network's vault. It waits, at the least as long as what loosens the policy.

    Example: `holdfast vault order migration eip155:1 0x5aAe… --days 7 --out migration.json`
    """
    from holdfast.core.orders import Migration

    _make(Migration(network, address, _now() + days * 86_400, number or _now()), out)


@app.command("show")
def show(
    file: OrderFile,
    *,
    quorum_file: Annotated[Path | None, typer.Option("--quorum")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a document says, line by line, and which officers have signed it.

    Example: `holdfast vault order show step.json --quorum quorum.json`
    """
    from holdfast.vault import documents

    signed = documents.read(file)
    lines = documents.describe(signed.document.encode())
    names: list[str] = []
    if quorum_file is not None:
        quorum = _quorum(quorum_file)
        names = [officer.name for officer in documents.signed_by(signed, quorum)]
        lines.append(f"signed by {', '.join(names) or 'nobody'}; {quorum.threshold} must sign")
    emit({"lines": lines, "signed_by": names}, "\n".join(lines), as_json=as_json)


@app.command("sign")
def sign(
    file: OrderFile,
    *,
    keystore_file: Annotated[Path, typer.Option("--keystore", help="The officer's keystore.")],
    out: OutFile,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking: only where a person has read it.")] = False,
) -> None:
    """Sign a document as one officer, after showing it; the next officer signs what this writes.

    Example: `holdfast vault order sign step.json --keystore ada.keystore --out step.ada.json`
    """
    from holdfast.vault import documents, keystore
    from holdfast.vault.freezes import OFFICER, signing_key

    unsigned = documents.read(file)
    say("\n".join(documents.describe(unsigned.document.encode())))
    if not yes:
        typer.confirm("Is this what you want to order?", abort=True, err=True)
    sealed = keystore.read(keystore_file, OFFICER)
    passphrase = old_passphrase(passphrase_file, sealed.public.get("name", str(keystore_file)))
    signed = documents.sign(unsigned, signing_key(sealed, passphrase))
    documents.write(out, signed)
    emit(None, str(out), as_json=False)


@app.command("combine")
def combine(
    files: Annotated[list[Path], typer.Argument(help="The same document, signed by several officers apart.")],
    *,
    out: OutFile,
) -> None:
    """Put signatures that officers made apart into one file.

    Example: `holdfast vault order combine step.ada.json step.bo.json --out step.signed.json`
    """
    from holdfast.vault import documents

    documents.write(out, documents.combine([documents.read(path) for path in files]))
    emit(None, str(out), as_json=False)


def _make(order: Order, out: Path) -> None:
    from holdfast.vault import documents, orders

    made = orders.unsigned(order)
    documents.write(out, made)
    say("\n".join(documents.describe(made.document.encode())))
    emit(None, str(out), as_json=False)


def _quorum(path: Path) -> Quorum:
    from holdfast.core.quorum import read_quorum

    return read_quorum(_bytes(path))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None


def _now() -> int:
    from holdfast.runtime.clock import SYSTEM_CLOCK

    return int(SYSTEM_CLOCK.now().timestamp())
