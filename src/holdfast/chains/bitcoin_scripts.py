"""The output script that an address of the Bitcoin family stands for, and the address of a script.

Made for addresses that were derived and checked before (`core.addresses` judges what people type): it checks the
network but not the checksum, and so reads a million in a few seconds when a follower starts.
"""

from __future__ import annotations

from embit import base58, bech32

from holdfast.core.errors import BadInput
from holdfast.core.networks import BitcoinNetwork

_BECH32 = str.maketrans("qpzry9x8gf2tvdw0s3jn54khce6mua7l", "0123456789abcdefghijklmnopqrstuv")
_BASE58 = {digit: value for value, digit in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_CHECKSUM_CHARACTERS, _CHECKSUM_BYTES = 6, 4
_BASE58_BYTES = 25
_BASE58_CHARACTERS_MIN, _BASE58_CHARACTERS_MAX = 26, 35
_PROGRAM_CHARACTERS_MIN, _PROGRAM_CHARACTERS_MAX = 4, 65
"""Of 2 to 40 bytes, with the version."""


class AddressWithoutScript(BadInput):
    """A watched address is not one of its network. Look at how it came into the watch: it cannot have been derived."""

    code = "address-without-script"


class ScriptWithoutAddress(BadInput):
    """An output's script has no address on this network, so nobody could compare it. Pay to an address."""

    code = "script-without-address"


def script_of(network: BitcoinNetwork, address: str) -> bytes:
    """The script that an output to `address` has. Raises `AddressWithoutScript`."""
    try:
        if network.hrp is not None and address.startswith(network.hrp + "1"):
            return _segwit(address[len(network.hrp) + 1 : -_CHECKSUM_CHARACTERS])
        return _base58(network, address)
    except (ValueError, KeyError, OverflowError):
        raise AddressWithoutScript(f"{address[:90]!r} on {network.name}") from None


def address_of(network: BitcoinNetwork, script: bytes) -> str:
    """The address that a script has on this network, in its one canonical form. Raises `ScriptWithoutAddress`."""
    if script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return str(base58.encode_check(bytes((network.p2sh[0],)) + script[2:22]))
    if script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return str(base58.encode_check(bytes((network.p2pkh,)) + script[3:23]))
    version = script[0] - 0x50 if script and script[0] else 0
    if network.hrp and 4 <= len(script) <= 42 and 0 <= version <= 16 and script[1] == len(script) - 2:
        address = bech32.encode(network.hrp, version, script[2:])
        if address is not None:
            return str(address)
    raise ScriptWithoutAddress(f"{script.hex()[:90]} on {network.name}")


def _segwit(data: str) -> bytes:
    """Witness version and program (BIP 141, 173, 350) from the characters between prefix and checksum."""
    if not _PROGRAM_CHARACTERS_MIN < len(data) <= _PROGRAM_CHARACTERS_MAX:
        raise ValueError
    version = int(data[0].translate(_BECH32), 32)
    program_bits = 5 * (len(data) - 1)
    padding = program_bits % 8
    program = (int(data[1:].translate(_BECH32), 32) >> padding).to_bytes(program_bits // 8, "big")
    return bytes((0x50 + version if version else 0, len(program))) + program


def _base58(network: BitcoinNetwork, address: str) -> bytes:
    if not _BASE58_CHARACTERS_MIN <= len(address) <= _BASE58_CHARACTERS_MAX:
        raise ValueError
    number = 0
    for digit in address:
        number = number * 58 + _BASE58[digit]
    payload = number.to_bytes(_BASE58_BYTES, "big")[:-_CHECKSUM_BYTES]
    if payload[0] in network.p2sh:
        return b"\xa9\x14" + payload[1:] + b"\x87"  # BIP 16
    if payload[0] == network.p2pkh:
        return b"\x76\xa9\x14" + payload[1:] + b"\x88\xac"
    raise ValueError
