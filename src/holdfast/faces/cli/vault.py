"""`holdfast vault`: the officers' tool. It reads and writes files, and never needs the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.passphrases import PassphraseFile, new_passphrase, old_passphrase
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.core.addresses import Vault
    from holdfast.core.certificates import Certificate
    from holdfast.core.quorum import Signature
    from holdfast.vault.officers import OfficerPublic

app = typer.Typer(help="The officers' offline tool: keys, quorum, certificates.", no_args_is_help=True)

Officers = Annotated[list[Path], typer.Argument(help="Each officer's public file, NAME.json.")]
Threshold = Annotated[int, typer.Option(min=1, max=15, help="How many officers must sign.")]


@app.command("officer")
def officer(
    name: Annotated[str, typer.Argument(help="The officer's name, as the others know it.")],
    *,
    out: Annotated[Path, typer.Option(help="Directory for NAME.keystore (secret) and NAME.json (public).")] = Path(),
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make one officer's keys. Run it on a machine that has never been online, and keep the keystore there.

    Example: `holdfast vault officer ada --out /media/ada`
    """
    import msgspec

    from holdfast.vault import keystore
    from holdfast.vault.officers import make_officer, public_part

    secret = make_officer()
    public = public_part(name, secret)
    sealed = keystore.seal(
        "officer", {"name": name, "key": public.key}, secret.pack(), new_passphrase(passphrase_file, name)
    )
    keystore.write(out / f"{name}.keystore", sealed)
    (out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(public)) + b"\n")
    say(f"Keep {out / name}.keystore on this machine and on one backup; give {out / name}.json to the other officers.")
    emit(msgspec.to_builtins(public), public.key, as_json=as_json)


@app.command("quorum")
def quorum(
    officers: Officers,
    *,
    threshold: Threshold = 2,
    out: Annotated[Path, typer.Option(help="Where to write the quorum document.")] = Path("quorum.json"),
    as_json: JsonOption = False,
) -> None:
    """Write the quorum document from the officers' public files, and print the root fingerprint and the vaults.

    Example: `holdfast vault quorum ada.json bo.json cy.json --threshold 2`
    """
    from holdfast.vault.officers import quorum_of

    people = [public_file(path) for path in officers]
    made = quorum_of(people, threshold)
    out.write_bytes(made.document())
    facts = {"quorum": str(out), "root_fingerprint": made.fingerprint(), "vaults": _vaults(people, threshold)}
    say("Every officer compares the root fingerprint with the others, by voice; merchants get it the same way.")
    emit(facts, made.fingerprint(), as_json=as_json)


@app.command("show")
def show(document: Annotated[Path, typer.Argument(help="A certificate document.")]) -> None:
    """Print what a certificate says, line by line, as an officer compares it before signing.

    Example: `holdfast vault show request.json`
    """
    from holdfast.core.certificates import read_certificate
    from holdfast.vault.certify import describe

    emit(None, "\n".join(describe(read_certificate(document.read_bytes()))), as_json=False)


@app.command("certify")
def certify(  # noqa: PLR0913  one option of the command line each
    document: Annotated[Path, typer.Argument(help="The certificate document, the exact bytes.")],
    *,
    keystore_file: Annotated[Path, typer.Option("--keystore", help="The officer's keystore.")],
    officer_files: Annotated[list[Path], typer.Option("--officer", help="Each officer's public file; once for each.")],
    threshold: Threshold = 2,
    key_fingerprints: Annotated[
        list[str] | None,
        typer.Option(
            "--key-fingerprint",
            help="Fingerprint of the merchant's keys, as he told you himself; may be repeated. Needed unless you "
            "certified these very keys for him before.",
        ),
    ] = None,
    fingerprints_file: Annotated[
        Path | None, typer.Option("--key-fingerprints", help="File with a batch of fingerprints, one a line.")
    ] = None,
    record: Annotated[Path, typer.Option(help="Directory of what this officer signed before.")] = Path("signed"),
    passphrase_file: PassphraseFile = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Sign without asking: only where a person has compared it.")
    ] = False,
) -> None:
    """Sign a merchant's certificate as one officer, after showing it. Prints the signature.

    Refuses keys whose fingerprint the merchant did not give you himself, over a channel that the platform does not
    carry; vaults that are not this quorum's, indexes that another merchant owns, and old versions.

    Example: `holdfast vault certify request.json --key-fingerprint "8f3a…" --keystore ada.keystore --officer ada.json`
    """
    import msgspec

    from holdfast.core.certificates import read_certificate
    from holdfast.vault.certify import describe, refuse_other_keys

    data = document.read_bytes()
    certificate = read_certificate(data)
    say("\n".join(describe(certificate)))
    earlier = [read_certificate(path.read_bytes()) for path in sorted(record.glob("*.json"))]
    refuse(certificate, [public_file(path) for path in officer_files], threshold, earlier)
    refuse_other_keys(certificate, _compared(key_fingerprints or [], fingerprints_file), earlier)
    if not yes:
        typer.confirm("Is this what you want to sign?", abort=True, err=True)
    signature = sign(data, keystore_file, passphrase_file)
    record.mkdir(parents=True, exist_ok=True)
    (record / f"{certificate.merchant}.{certificate.version}.json").write_bytes(data)
    emit(msgspec.to_builtins(signature))


def _compared(given: list[str], file: Path | None) -> list[str]:
    """The fingerprints that the officer has from the merchants themselves."""
    from holdfast.vault.certify import FingerprintMalformed, read_fingerprint, read_fingerprints

    listed: list[str] = []
    if file is not None:
        try:
            listed = read_fingerprints(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise FingerprintMalformed(f"{file}: {error}") from None
    return [read_fingerprint(one) for one in given] + listed


def refuse(certificate: Certificate, people: list[OfficerPublic], threshold: int, earlier: list[Certificate]) -> None:
    """Whatever an officer must not sign. `earlier`: what he signed before.

    Raises `VaultNotOurs`, `RangesOverlap`, `CertificateOlder`, `MerchantKeyTaken`.
    """
    from holdfast.vault.certify import refuse_conflicts, refuse_other_vaults

    ours = {grant.network: grant.vault for grant in certificate.networks}
    expected = {network: vault for network in ours if (vault := _vault_on(network, people, threshold)) is not None}
    refuse_other_vaults(certificate, expected)
    refuse_conflicts(certificate, earlier)


def sign(document: bytes, keystore_file: Path, passphrase_file: Path | None) -> Signature:
    """One officer's signature. Raises as the keystore does."""
    from holdfast.vault import keystore
    from holdfast.vault.officers import OfficerSecret, sign_certificate

    sealed = keystore.read(keystore_file)
    passphrase = old_passphrase(passphrase_file, sealed.public.get("name", str(keystore_file)))
    return sign_certificate(document, OfficerSecret.unpack(keystore.unseal(sealed, passphrase)))


def public_file(path: Path) -> OfficerPublic:
    """An officer's public part. Raises `OfficersDiffer` where the file is not one."""
    import msgspec

    from holdfast.vault.officers import OfficerPublic, OfficersDiffer

    try:
        return msgspec.json.decode(path.read_bytes(), type=OfficerPublic)
    except (OSError, msgspec.DecodeError) as error:
        raise OfficersDiffer(f"{path}: {error}") from None


def _vault_on(network_id: str, people: list[OfficerPublic], threshold: int) -> Vault | None:
    """This quorum's vault on a network; None for a network that is not known here."""
    from holdfast.chains.evm_contracts import plan_vault
    from holdfast.core.addresses import BitcoinVault, EvmVault
    from holdfast.core.networks import KNOWN_NETWORKS, BitcoinNetwork, NetworkId
    from holdfast.vault.officers import descriptor_of

    network = KNOWN_NETWORKS.get(NetworkId(network_id))
    if isinstance(network, BitcoinNetwork):
        return BitcoinVault(descriptor_of(network, people, threshold))
    if not network_id.startswith("eip155:"):
        return None
    plan = plan_vault([person.evm_address for person in people], threshold)
    return EvmVault(plan.factory, plan.implementation, plan.vault)


def _vaults(people: list[OfficerPublic], threshold: int) -> dict[str, object]:
    import msgspec

    from holdfast.core.networks import KNOWN_NETWORKS

    return {
        network.name: msgspec.to_builtins(_vault_on(network.id, people, threshold))
        for network in KNOWN_NETWORKS.values()
    }
