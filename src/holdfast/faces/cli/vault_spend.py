"""`holdfast vault`, spending: what an officer is shown, what he signs, and what becomes of the signatures.

Nothing here decides whether a spend is right: it is signed only with the checking machine's word for its very digest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.passphrases import PassphraseFile, old_passphrase
from holdfast.faces.cli.terminal import JsonOption, emit, say
from holdfast.faces.cli.vault import public_file

if TYPE_CHECKING:
    from holdfast.vault.drafts import AnyDraft, OfficersVault
    from holdfast.vault.officers import OfficerSecret

DraftFile = Annotated[Path, typer.Argument(help="The draft: a PSBT, or a Safe draft.")]
OfficerFiles = Annotated[list[Path], typer.Option("--officer", help="Each officer's public file; once for each.")]
Threshold = Annotated[int, typer.Option(min=1, max=15, help="How many officers must sign.")]
NetworkName = Annotated[str, typer.Option("--network", help="The network's name or CAIP-2 id.")]
OutFile = Annotated[Path, typer.Option("--out", help="The file to write; it must not be there yet.")]


def register(app: typer.Typer) -> None:
    """Adds these commands to `holdfast vault`."""
    app.command("policy-export")(policy_export)
    app.command("show-spend")(show_spend)
    app.command("sign")(sign)
    app.command("combine")(combine)
    app.command("finalise")(finalise)
    app.command("to-qr")(to_qr)
    app.command("from-qr")(from_qr)


def policy_export(
    *,
    network: NetworkName,
    officers: OfficerFiles,
    threshold: Threshold = 2,
    form: Annotated[str, typer.Option("--format", help="ledger, coldcard, descriptor or specter.")] = "ledger",
    name: Annotated[str, typer.Option(help="What the device shows; at most 20 characters.")] = "holdfast",
) -> None:
    """Print the vault as a hardware wallet or wallet program registers it, so that it shows what leaves the vault.

    Example: `holdfast vault policy-export --network bitcoin --officer ada.json --officer bo.json --format coldcard`
    """
    from holdfast.vault.registrations import RegistrationForm, export

    if form not in [each.value for each in RegistrationForm]:
        raise typer.BadParameter(f"{form} is none of {', '.join(each.value for each in RegistrationForm)}")
    vault = _vault(network, officers, threshold)
    emit(None, export(vault.descriptor, RegistrationForm(form), name).rstrip("\n"), as_json=False)


def show_spend(
    draft_file: DraftFile,
    *,
    network: NetworkName,
    officers: OfficerFiles,
    threshold: Threshold = 2,
    as_json: JsonOption = False,
) -> None:
    """Print what a draft pays, to whom, what it costs and who has signed it; refuses what is not of this vault.

    Example: `holdfast vault show-spend draft.psbt --network bitcoin --officer ada.json --officer bo.json`
    """
    from holdfast.vault.drafts import describe

    vault = _vault(network, officers, threshold)
    draft = _draft(draft_file, vault)
    lines = describe(draft, vault)
    emit({"digest": draft.digest, "lines": lines}, "\n".join(lines), as_json=as_json)


def sign(  # noqa: PLR0913  one option of the command line each
    draft_file: DraftFile,
    *,
    check_file: Annotated[Path, typer.Option("--check", help="What the checking machine wrote about this draft.")],
    keystore_file: Annotated[Path, typer.Option("--keystore", help="The officer's keystore.")],
    network: NetworkName,
    officers: OfficerFiles,
    threshold: Threshold = 2,
    out: OutFile,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Sign without asking: only where a person has compared it.")
    ] = False,
) -> None:
    """Sign a draft as one officer, after showing what it pays and why. Refuses what the checking machine did not check.

    Example: `holdfast vault sign draft.psbt --check check.json --keystore ada.keystore --network bitcoin
    --officer ada.json --officer bo.json --out draft.ada.psbt`
    """
    from holdfast.vault import drafts
    from holdfast.vault.carry import write_new
    from holdfast.vault.checks import read_check, refuse_unless_checked

    vault = _vault(network, officers, threshold)
    draft, check = _draft(draft_file, vault), read_check(_bytes(check_file))
    refuse_unless_checked(check, vault.network.id, draft.digest)
    say("\n".join([*drafts.describe(draft, vault), f"checked as   {check.kind.value}", *check.lines]))
    if not yes:
        typer.confirm("Does the checking machine's own screen show the same digest?", abort=True, err=True)
    signed = drafts.sign(draft, read_officer(keystore_file, passphrase_file), check)
    write_new(out, drafts.write(signed))
    emit({"digest": draft.digest, "signed": str(out)}, str(out), as_json=False)


def combine(  # noqa: PLR0913  one option of the command line each
    draft_file: DraftFile,
    signed_files: Annotated[list[Path], typer.Argument(help="What officers' machines or devices wrote.")],
    *,
    network: NetworkName,
    officers: OfficerFiles,
    threshold: Threshold = 2,
    out: OutFile,
) -> None:
    """Put the officers' signatures together into one file. Of a device's PSBT nothing but signatures is taken.

    Example: `holdfast vault combine draft.psbt draft.ada.psbt draft.bo.psbt --network bitcoin --officer ada.json
    --officer bo.json --out signed.psbt`
    """
    from holdfast.vault import drafts
    from holdfast.vault.carry import write_new

    vault = _vault(network, officers, threshold)
    combined = drafts.combine(_draft(draft_file, vault), [_bytes(path) for path in signed_files], vault)
    write_new(out, drafts.write(combined))
    say("\n".join(drafts.describe(combined, vault)))
    emit(None, str(out), as_json=False)


def finalise(signed_file: DraftFile, *, network: NetworkName, officers: OfficerFiles, threshold: Threshold = 2) -> None:
    """Print what is sent to the network, as JSON: a transaction, or call data that a gas account brings to the Safe.

    Example: `holdfast vault finalise signed.psbt --network bitcoin --officer ada.json --officer bo.json`
    """
    from holdfast.vault import drafts

    vault = _vault(network, officers, threshold)
    done = drafts.finalise(_draft(signed_file, vault))
    emit({"data": done.data.hex(), "network": done.network, "to": done.to, "transaction": done.transaction})


def to_qr(
    file: Annotated[Path, typer.Argument(help="Any file that goes to another machine.")],
    *,
    image: Annotated[
        Path | None, typer.Option(help="Write images (NAME.svg or NAME.png) instead of drawing in the terminal.")
    ] = None,
) -> None:
    """Show a file as a row of QR codes for a machine without a cable.

    Example: `holdfast vault to-qr draft.psbt --image draft.svg`
    """
    from holdfast.vault.carry import terminal, write_images

    if image is None:
        drawn = terminal(_bytes(file))
        text = "\n".join(f"{number} of {len(drawn)}\n{code}" for number, code in enumerate(drawn, 1))
        emit(None, text, as_json=False)
        return
    if image.suffix not in (".svg", ".png"):
        raise typer.BadParameter("an image ends in .svg or .png")
    emit(None, "\n".join(str(path) for path in write_images(_bytes(file), image)), as_json=False)


def from_qr(
    scanned: Annotated[Path, typer.Argument(help="A text file with one scanned code a line, in any order.")],
    *,
    out: OutFile,
) -> None:
    """Put scanned QR codes together into the file that they carry.

    Example: `zbarcam --raw > scanned.txt`, then `holdfast vault from-qr scanned.txt --out draft.psbt`
    """
    from holdfast.vault.carry import join, write_new

    lines = _bytes(scanned).decode("ascii", "replace").split()
    write_new(out, join(lines))
    emit(None, str(out), as_json=False)


def _vault(network: str, officers: list[Path], threshold: int) -> OfficersVault:
    from holdfast.vault.drafts import OfficersVault, network_named

    return OfficersVault(network_named(network), tuple(public_file(path) for path in officers), threshold)


def _draft(path: Path, vault: OfficersVault) -> AnyDraft:
    from holdfast.vault.drafts import read

    return read(_bytes(path), vault)


def read_officer(keystore_file: Path, passphrase_file: Path | None) -> OfficerSecret:
    """An officer's secrets, on his own machine. Raises as `keystore.read` and `unseal`."""
    from holdfast.vault import keystore
    from holdfast.vault.officers import OfficerSecret

    sealed = keystore.read(keystore_file)
    passphrase = old_passphrase(passphrase_file, sealed.public.get("name", str(keystore_file)))
    return OfficerSecret.unpack(keystore.unseal(sealed, passphrase))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
