"""The vault as hardware wallets and wallet programs register it, written for each in its own published grammar.

A device that has the vault registered shows only what leaves it: inputs and change it recognises by itself, by the
branches `/0/*` and `/1/*`. What is read back is the very descriptor again, or it is refused.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar

import msgspec
from embit.descriptor.checksum import add_checksum, checksum

from holdfast.core.descriptors import DescriptorKey, VaultDescriptor
from holdfast.core.errors import BadInput
from holdfast.core.networks import ScriptType

_KEY_INFORMATION = re.compile(r"\[([0-9a-f]{8})((?:/\d+[h']?)*)\]([1-9A-HJ-NP-Za-km-z]{100,120})", re.ASCII)
_TEMPLATE = re.compile(r"(wsh|sh)\(sortedmulti\((\d{1,2}),([^()]+)\)\)", re.ASCII)
_PLACEHOLDERS = ("/**", "/<0;1>/*")
"""BIP 388 has both for the same two branches."""
_MULTIPATH = "/<0;1>/*"
_DEPOSITS = "/0/*"
_COLDCARD_FORMATS = {ScriptType.WSH: "P2WSH", ScriptType.SH: "P2SH"}
_COLDCARD_LINE = re.compile(r"\s*([A-Za-z]+|[0-9A-Fa-f]{8})\s*:\s*(.*?)\s*", re.ASCII)
_COLDCARD_POLICY = re.compile(r"(\d{1,2})\D+(\d{1,2})", re.ASCII)


_Form = TypeVar("_Form", "_WalletPolicy", "_SpecterWallet")


class RegistrationMalformed(BadInput):
    """The file is not a registration of a vault in the form that was named. Export it again, in that form."""

    code = "registration-malformed"


class VaultNotRegistrable(BadInput):
    """No device can register this descriptor. Have each key with its origin, from different seeds, ending in `/0/*`."""

    code = "vault-not-registrable"


class RegistrationForm(StrEnum):
    """Who reads it."""

    LEDGER = "ledger"
    """BIP 388 wallet policy as JSON (Ledger, BitBox02, and every other device with wallet policies)."""
    COLDCARD = "coldcard"
    """Coldcard's multisig text file, which Caravan, Nunchuk, Passport, Keystone and Jade read too."""
    DESCRIPTOR = "descriptor"
    """One descriptor with both branches (BIP 389): Sparrow, Krux, Bitcoin Core."""
    SPECTER = "specter"
    """Specter's wallet file."""


class _WalletPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    descriptor_template: str
    keys_info: list[str]


class _SpecterWallet(msgspec.Struct, frozen=True):
    label: str
    descriptor: str
    blockheight: int = 0


def export(descriptor: str, form: RegistrationForm, name: str) -> str:
    """The vault's registration. `name` is what the device shows: 1 to 20 printable ASCII characters, the least that all
    of them take. Raises `VaultNotRegistrable`, and as `VaultDescriptor.parse`.
    """
    vault = _registrable(descriptor, name)
    match form:
        case RegistrationForm.LEDGER:
            placeholders = ",".join(f"@{number}/**" for number in range(len(vault.keys)))
            template = f"{vault.script_type.value}(sortedmulti({vault.threshold},{placeholders}))"
            return _json(_WalletPolicy(name, template, [_key_information(key, "'") for key in vault.keys]))
        case RegistrationForm.COLDCARD:
            return _coldcard(vault, name)
        case RegistrationForm.DESCRIPTOR:
            return _text(vault, _MULTIPATH) + "\n"
        case RegistrationForm.SPECTER:
            return _json(_SpecterWallet(name, _text(vault, _DEPOSITS)))


def read_back(text: str, form: RegistrationForm) -> str:
    """The vault's descriptor, as `officers.descriptor_of` writes it, out of a registration that a device exported.

    Raises `RegistrationMalformed`, `VaultNotRegistrable`, and as `VaultDescriptor.parse`.
    """
    return _text(_registrable(_descriptor_in(text, form), "vault"), _DEPOSITS)


def _descriptor_in(text: str, form: RegistrationForm) -> str:
    match form:
        case RegistrationForm.LEDGER:
            return _from_policy(text)
        case RegistrationForm.COLDCARD:
            return _from_coldcard(text)
        case RegistrationForm.DESCRIPTOR:
            return _from_descriptor(text.strip(), _MULTIPATH)
        case RegistrationForm.SPECTER:
            return _from_descriptor(_decoded(text, _SpecterWallet).descriptor, _DEPOSITS)


def _registrable(descriptor: str, name: str) -> VaultDescriptor:
    vault = VaultDescriptor.parse(descriptor)
    if not (1 <= len(name) <= 20 and name.isascii() and name.isprintable() and name == name.strip()):
        raise VaultNotRegistrable(f"the name {name[:40]!r} is not one that every device takes")
    fingerprints = {key.fingerprint for key in vault.keys}
    if "" in fingerprints or len(fingerprints) != len(vault.keys) or any(key.change is None for key in vault.keys):
        raise VaultNotRegistrable(", ".join(sorted(fingerprints)))
    return vault


def _text(vault: VaultDescriptor, branches: str) -> str:
    keys = ",".join(_key_information(key, "h") + branches for key in vault.keys)
    return str(add_checksum(f"{vault.script_type.value}(sortedmulti({vault.threshold},{keys}))"))


def _key_information(key: DescriptorKey, hardened: str) -> str:
    path = key.path.replace("h", hardened)
    return f"[{key.fingerprint}{'/' + path if path else ''}]{key.xpub}"


def _coldcard(vault: VaultDescriptor, name: str) -> str:
    lines = [
        f"Name: {name}",
        f"Policy: {vault.threshold} of {len(vault.keys)}",
        f"Format: {_COLDCARD_FORMATS[vault.script_type]}",
    ]
    path = None
    for key in vault.keys:
        if key.path != path:
            path = key.path
            lines += ["", f"Derivation: m/{path.replace('h', chr(39))}".removesuffix("/"), ""]
        lines.append(f"{key.fingerprint.upper()}: {key.xpub}")
    return "\n".join(lines) + "\n"


def _from_policy(text: str) -> str:
    policy = _decoded(text, _WalletPolicy)
    match = _TEMPLATE.fullmatch(policy.descriptor_template)
    if match is None or not all(_KEY_INFORMATION.fullmatch(one) for one in policy.keys_info):
        raise RegistrationMalformed(policy.descriptor_template[:160])
    wanted = [{f"@{number}{branches}" for branches in _PLACEHOLDERS} for number in range(len(policy.keys_info))]
    placeholders = match[3].split(",")
    if len(placeholders) != len(wanted) or not all(one in two for one, two in zip(placeholders, wanted, strict=True)):
        raise RegistrationMalformed(f"{policy.descriptor_template[:160]} does not name each key once, in order")
    keys = ",".join(one + _DEPOSITS for one in policy.keys_info)
    return f"{match[1]}(sortedmulti({match[2]},{keys}))"


def _from_coldcard(text: str) -> str:
    """By the rules of Coldcard's own reader: comments, any order, `Derivation` for the keys that follow it."""
    says: dict[str, str] = {}
    keys: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _COLDCARD_LINE.fullmatch(line)
        if match is None:
            raise RegistrationMalformed(f"{line[:80]!r}")
        label, value = match[1].lower(), match[2]
        if len(label) == 8 and label != "derivation":
            keys.append(f"[{label}{says.get('derivation', '?').replace(chr(39), 'h').removeprefix('m')}]{value}")
        else:
            says[label] = value
    quorum = _COLDCARD_POLICY.fullmatch(says.get("policy", ""))
    scripts = [one.value for one, written in _COLDCARD_FORMATS.items() if written == says.get("format", "P2SH").upper()]
    if quorum is None or int(quorum[2]) != len(keys) or not scripts:
        raise RegistrationMalformed(f"policy {says.get('policy')!r}, format {says.get('format')!r}, {len(keys)} keys")
    if not all(_KEY_INFORMATION.fullmatch(one) for one in keys):
        raise RegistrationMalformed("a key is none, or its derivation is missing")
    return f"{scripts[0]}(sortedmulti({quorum[1]},{','.join(one + _DEPOSITS for one in keys)}))"


def _from_descriptor(text: str, branches: str) -> str:
    plain, _, sum_of = text.partition("#")
    if sum_of and sum_of != checksum(plain):
        raise RegistrationMalformed(f"the checksum {sum_of[:8]} is wrong")
    match = _TEMPLATE.fullmatch(plain)
    keys = match[3].split(",") if match else []
    if match is None or not all(one.endswith(branches) for one in keys):
        raise RegistrationMalformed(plain[:160])
    inner = [one.removesuffix(branches) for one in keys]
    if not all(_KEY_INFORMATION.fullmatch(one) for one in inner):
        raise RegistrationMalformed(plain[:160])
    return f"{match[1]}(sortedmulti({match[2]},{','.join(one + _DEPOSITS for one in inner)}))"


def _decoded(text: str, form: type[_Form]) -> _Form:
    try:
        return msgspec.json.decode(text, type=form)
    except msgspec.DecodeError as error:
        raise RegistrationMalformed(str(error)[:160]) from None


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode() + "\n"
