"""`holdfast merchant`: keys, and enrolment at one go where the officers' keystores still lie on this machine.

Where they do not, the operator calls `POST /v1/merchants`, the officers run `holdfast vault certify` on the document,
and the operator hands the result in by `PUT /v1/merchants/{id}/certificate`: the same three steps.
"""

from __future__ import annotations

import base64
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.core.errors import Conflict, NotPermitted, Unavailable
from holdfast.faces.cli import merchant_payouts
from holdfast.faces.cli.passphrases import PassphraseFile, new_passphrase
from holdfast.faces.cli.shop import ShopFacts, write_shop
from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings, progress, say

if TYPE_CHECKING:
    import httpx

    from holdfast.runtime.settings import Settings
    from holdfast.vault.officers import OfficerSecret

app = typer.Typer(help="Enrol merchants and list them; a merchant's own keys and payouts.", no_args_is_help=True)
app.command("payout")(merchant_payouts.payout)
app.command("submit")(merchant_payouts.submit)
app.command("standing-order")(merchant_payouts.standing_order)
app.command("payouts")(merchant_payouts.payouts)

STEPS = 5


class ApiUnreachable(Unavailable):
    """The API does not answer. Start it with `holdfast serve`, and look at its log."""

    code = "api-unreachable"


class ApiRefused(NotPermitted):
    """The API refused. Its own code and remedy are in the detail."""

    code = "api-refused"


class MerchantFilesExist(Conflict):
    """There are files of a merchant of this name already, and keys are never overwritten. Take another name."""

    code = "merchant-files-exist"


class OfficersElsewhere(Conflict):
    """Too few officers' keystores are on this machine to sign. Have the officers sign by `holdfast vault certify`."""

    code = "officers-elsewhere"


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What enrolment works with."""

    settings: Settings
    name: str
    passphrase_file: Path | None
    tariff_basis_points: int

    @property
    def directory(self) -> Path:
        """Where the merchant's files go."""
        return self.settings.directory / "merchants" / self.name

    @property
    def officers(self) -> Path:
        """Where the officers' keystores are, if they still are."""
        return self.settings.directory / "officers"


@app.command("enrol")
def enrol(
    name: Annotated[str, typer.Argument(help="The merchant's name.")],
    *,
    tariff: Annotated[int, typer.Option(min=0, max=9999, help="Basis points of each deposit that you keep.")] = 0,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help="Passphrase of the officers' and the merchant's keystores; else DIR/officers/passphrase."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol a merchant: make its keys, have the officers' keystores here sign its certificate, make its API key.

    The files are written to `merchants/NAME` beside the configuration. `holdfast serve` must be running.

    Example: `holdfast merchant enrol shop --config shop/holdfast.toml`
    """
    import httpx

    enrolling = Enrolling(load_settings(config), name, passphrase_file, tariff)
    try:
        with progress("enrol") as advance:
            facts = _enrol(enrolling, advance)
    except httpx.TransportError as error:
        raise ApiUnreachable(f"{enrolling.settings.api.public_url}: {type(error).__name__}") from None
    say(f"the merchant's API key is in {facts['api_key_file']}; its own keys are beside it, sealed")
    emit(facts, f"{facts['merchant']} is active", as_json=as_json)


@app.command("keys")
def keys(
    name: Annotated[str, typer.Argument(help="The merchant's name.")],
    *,
    out: Annotated[Path, typer.Option(help="Directory for the two keystores.")] = Path(),
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make a merchant's own key and its recovery key, on his own machine. The platform gets the public parts.

    Tell the fingerprint to the officers yourself, by voice or in person: they sign for no other keys.

    Example: `holdfast merchant keys shop --out keys`
    """
    from holdfast.core.certificates import keys_fingerprint

    key, recovery_key = _keys(out, name, new_passphrase(passphrase_file, name))
    fingerprint = keys_fingerprint(bytes.fromhex(key), bytes.fromhex(recovery_key))
    say(f"Keep {out / 'recovery.keystore'} off this machine, in a safe: it alone decides when the other key is stolen.")
    say("Tell the officers this fingerprint yourself, not through the platform:")
    emit({"name": name, "key": key, "recovery_key": recovery_key, "fingerprint": fingerprint}, fingerprint,
         as_json=as_json)  # fmt: skip


@app.command("pin")
def pin(
    merchant: Annotated[str, typer.Argument(help="The merchant's id, `mer_…`.")],
    *,
    root_fingerprint: Annotated[str, typer.Option(help="The officers' root fingerprint, from an officer himself.")],
    api: Annotated[str, typer.Option(help="URL of the platform.")],
    api_key_file: Annotated[Path, typer.Option(help="File with the merchant's API key.")],
    out: Annotated[Path, typer.Option(help="The merchant's directory, where his keystores are.")] = Path(),
) -> None:
    """Write down what a merchant knows without the platform, so that `payout` and its siblings can check it.

    Example: `holdfast merchant pin mer_01k9… --root-fingerprint 5ad1… --api https://pay.example --api-key-file api.key`
    """
    from holdfast.core.quorum import HEX_KEY, QuorumNotTrusted
    from holdfast.runtime.config import read_secret
    from holdfast.vault import keystore

    digits = "".join(root_fingerprint.lower().split())
    if not HEX_KEY.fullmatch(digits):
        raise QuorumNotTrusted(f"{root_fingerprint[:80]!r} is no fingerprint")
    key = keystore.read(out / "merchant.keystore", "merchant").public["key"]
    write_shop(out, ShopFacts(merchant, key, digits, api), read_secret(api_key_file))
    say(f"{out} is ready for `holdfast merchant payout --shop {out}`")


@app.command("list")
def list_merchants(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List merchants, newest first.

    Example: `holdfast merchant list --json`
    """
    import httpx

    settings = load_settings(config)
    try:
        with _client(settings) as client:
            found = _answer(client.get("/v1/merchants", params={"limit": 100}))["items"]
    except httpx.TransportError as error:
        raise ApiUnreachable(f"{settings.api.public_url}: {type(error).__name__}") from None
    lines = [f"{one['id']}  {one['state']:<8}  {one['name']}" for one in found]
    emit(found, "\n".join(lines) or "no merchants", as_json=as_json)


def _enrol(enrolling: Enrolling, advance: Any) -> dict[str, Any]:
    from holdfast.core.quorum import read_quorum
    from holdfast.vault.officers import sign_certificate

    settings = enrolling.settings
    if enrolling.directory.exists():
        raise MerchantFilesExist(str(enrolling.directory))
    directory = enrolling.directory.with_name(f".{enrolling.name}.new")
    shutil.rmtree(directory, ignore_errors=True)  # of an enrolment that did not end: its merchant stays pending
    quorum = read_quorum(settings.quorum_file.read_bytes())
    advance("officers' keystores", 0, STEPS)
    passphrase = _passphrase(enrolling)
    officers = _officers(enrolling, passphrase, quorum.threshold)
    advance("keys", 1, STEPS)
    key, recovery_key = _keys(directory, enrolling.name, passphrase)
    with _client(settings) as client:
        advance("enrolment", 2, STEPS)
        wanted = {
            "name": enrolling.name, "key": key, "recovery_key": recovery_key,
            "tariff_basis_points": enrolling.tariff_basis_points,
        }  # fmt: skip
        merchant = _answer(client.post("/v1/merchants", json=wanted, headers=_once()))
        advance("certificate", 3, STEPS)
        document = base64.b64decode(merchant["request"])
        _refuse_swapped(document, merchant["id"], key, recovery_key)
        signatures = [sign_certificate(document, officer) for officer in officers]
        signed = {
            "document": merchant["request"],
            "signatures": [{"officer": one.officer, "signature": one.signature} for one in signatures],
        }
        merchant = _answer(client.put(f"/v1/merchants/{merchant['id']}/certificate", json=signed))
        advance("API key", 4, STEPS)
        api_key = _api_key(client, merchant["id"], settings)
    write_shop(directory, ShopFacts(merchant["id"], key, quorum.fingerprint(), str(settings.api.public_url)), api_key)
    directory.rename(enrolling.directory)
    return {
        "merchant": merchant["id"],
        "state": merchant["state"],
        "key": key,
        "root_fingerprint": quorum.fingerprint(),
        "api": str(settings.api.public_url),
        "api_key_file": str(enrolling.directory / "api.key"),
    }


def _refuse_swapped(document: bytes, merchant_id: str, key: str, recovery_key: str) -> None:
    """The officers' keystores are here and nobody reads what they sign: it must be for the keys just made.

    Raises `KeysNotCompared`.
    """
    from holdfast.core.certificates import keys_fingerprint, read_certificate
    from holdfast.vault.certify import KeysNotCompared, refuse_other_keys

    certificate = read_certificate(document)
    refuse_other_keys(certificate, [keys_fingerprint(bytes.fromhex(key), bytes.fromhex(recovery_key))], [])
    if certificate.merchant != merchant_id:
        raise KeysNotCompared(f"{certificate.merchant} is not {merchant_id}")


def _passphrase(enrolling: Enrolling) -> str:
    from holdfast.runtime.config import read_secret

    return read_secret(enrolling.passphrase_file or enrolling.officers / "passphrase")


def _officers(enrolling: Enrolling, passphrase: str, threshold: int) -> list[OfficerSecret]:
    from holdfast.vault import keystore
    from holdfast.vault.officers import OfficerSecret

    paths = sorted(enrolling.officers.glob("*.keystore"))[:threshold]
    if len(paths) < threshold:
        raise OfficersElsewhere(f"{len(paths)} of {threshold} in {enrolling.officers}")
    return [OfficerSecret.unpack(keystore.unseal(keystore.read(path), passphrase)) for path in paths]


def _keys(directory: Path, name: str, passphrase: str) -> tuple[str, str]:
    """Make the merchant's own key and its recovery key, sealed in files; their public parts, hex."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from holdfast.vault import keystore

    public = []
    for which in ("merchant", "recovery"):
        key = Ed25519PrivateKey.generate()
        public.append(key.public_key().public_bytes_raw().hex())
        facts = {"name": name, "key": public[-1], "use": which}
        keystore.write(
            directory / f"{which}.keystore", keystore.seal("merchant", facts, key.private_bytes_raw(), passphrase)
        )
    return public[0], public[1]


def _api_key(client: httpx.Client, merchant: str, settings: Settings) -> str:
    from datetime import timedelta

    from holdfast.payments.api_keys import MERCHANT_SCOPES
    from holdfast.runtime.clock import SYSTEM_CLOCK

    wanted = {
        "name": f"first key, for {settings.api.public_url}",
        "scopes": sorted(MERCHANT_SCOPES),
        "expires_at": (SYSTEM_CLOCK.now() + timedelta(days=90)).isoformat(),
    }
    answer = _answer(client.post("/v1/api-keys", json=wanted, headers={**_once(), "Holdfast-Merchant": merchant}))
    return str(answer["secret"])


def _client(settings: Settings) -> httpx.Client:
    """The running API, as the operator."""
    import httpx

    from holdfast.runtime.config import read_secret

    key = read_secret(settings.directory / "secrets" / "operator.key")
    host = "127.0.0.1" if settings.api.host in {"0.0.0.0", "::"} else settings.api.host  # noqa: S104  compared, not bound
    return httpx.Client(
        base_url=f"http://{host}:{settings.api.port}", headers={"Authorization": f"Bearer {key}"}, timeout=30
    )


def _once() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(16)}


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = response.json()
        said = " ".join(str(problem.get(name, "")) for name in ("title", "detail", "remedy"))
        raise ApiRefused(f"{problem.get('code')}: {said}")
    raise ApiUnreachable(f"status {response.status_code}")
