"""A merchant's directory: his sealed keys, what he pins, his API key, what he has signed. None of it the platform's.

`shop.json` says who he is; without it nothing is signed, for the certificate must be checked against something.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, Conflict, NotFound
from holdfast.faces.cli.passphrases import old_passphrase

if TYPE_CHECKING:
    from holdfast.client import Holdfast, IntentSigner, MerchantKey

SHOP_FILE = "shop.json"
SIGNED_FILE_VERSION = 1

ShopOption = Annotated[
    Path, typer.Option("--shop", metavar="DIR", help="The merchant's directory: keystore, shop.json, api.key.")
]
KeystoreOption = Annotated[
    Path | None, typer.Option("--keystore", help="The merchant's keystore; else DIR/merchant.keystore.")
]
DecimalsOption = Annotated[
    int | None,
    typer.Option(min=0, max=36, help="Decimals of a token, from its issuer: not what the platform says they are."),
]


class ShopUnknown(NotFound):
    """There is no readable shop.json in the merchant's directory. Name the directory with `--shop`."""

    code = "shop-unknown"


class SignedFileMalformed(BadInput):
    """That is no file of signed intents. Use the one that `holdfast merchant payout --out` wrote."""

    code = "signed-file-malformed"


class ApiKeyThere(Conflict):
    """The merchant's directory holds another API key already. Move that file away, or name another directory."""

    code = "api-key-there"


@dataclass(frozen=True, slots=True)
class ShopFacts:
    """Who the merchant is, and what he has pinned."""

    merchant: str
    key: str
    """His public key, hex."""
    root_fingerprint: str
    """The officers', obtained from them."""
    api: str
    """URL of the platform."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A merchant's directory, read."""

    directory: Path
    facts: ShopFacts

    def unlock(self, keystore_file: Path | None, passphrase_file: Path | None) -> MerchantKey:
        """His key. Raises as the keystore does."""
        from holdfast.client import MerchantKey

        path = keystore_file or self.directory / "merchant.keystore"
        return MerchantKey.open(path, old_passphrase(passphrase_file, str(path)))

    def signer(self, key: MerchantKey, asset: str, decimals: int | None) -> IntentSigner:
        """What signs with it, and remembers in the directory what it signed."""
        from holdfast.client import merchant_signer

        told = {} if decimals is None else {asset: decimals}
        return merchant_signer(key, outbox_file=self.directory / "signed.jsonl", decimals=told)

    def check(self, merchant: str) -> None:
        """Whether a certificate for his own key names him as `shop.json` does. Raises `ShopUnknown`."""
        if merchant != self.facts.merchant:
            raise ShopUnknown(f"the certificate is for {merchant}, {SHOP_FILE} for {self.facts.merchant}")

    def client(self, signer: IntentSigner | None = None) -> Holdfast:
        """The platform, believed only as far as its certificate goes. Raises `SecretFileMissing` and so on."""
        from holdfast.client import Holdfast, Pin
        from holdfast.runtime.config import read_secret

        pin = Pin(
            root_fingerprint=self.facts.root_fingerprint,
            key=bytes.fromhex(self.facts.key),
            version_file=self.directory / "certificate.version",
        )
        return Holdfast(self.facts.api, read_secret(self.directory / "api.key"), pin, signer=signer)


def open_shop(directory: Path) -> Shop:
    """The merchant's directory. Raises `ShopUnknown`."""
    import msgspec

    path = directory / SHOP_FILE
    try:
        return Shop(directory, msgspec.json.decode(path.read_bytes(), type=ShopFacts))
    except (OSError, msgspec.DecodeError) as error:
        raise ShopUnknown(f"{path}: {error}") from None


def write_shop(directory: Path, facts: ShopFacts, api_key: str) -> None:
    """Write down who the merchant is, and his API key. Raises `ApiKeyThere` where there is another one."""
    import msgspec

    from holdfast.runtime.secret_files import read_secret, write_secret

    path = directory / "api.key"
    if not path.exists():
        write_secret(path, api_key)
    elif read_secret(path) != api_key:
        raise ApiKeyThere(str(path))
    (directory / SHOP_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(facts)) + b"\n")
