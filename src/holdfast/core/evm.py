"""Addresses of the EVM family: how they are written, and how they follow from what will be deployed there.

A deposit address is known from (factory, implementation, index) alone, so the platform, the merchant's SDK and the
officers each compute it for themselves. Nothing here talks to a node or holds a key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from Crypto.Hash import keccak

from holdfast.core.errors import BadInput

INDEX_MAX = 2**256 - 1
"""A CREATE2 salt is one 32-byte word."""

CREATE2_DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""The keyless deployer that stands at this address on nearly every EVM network; it takes salt ‖ init code."""

_ADDRESS = re.compile(r"0[xX]([0-9a-fA-F]{40})", re.ASCII)
_SETUP_SELECTOR = bytes.fromhex(
    "b63e800d"
)  # Safe: setup(address[],uint256,address,bytes,address,address,uint256,address)
_OWNERS_MAX = 50

# Runtime code of a deposit address, as in `contracts/ForwarderFactory.sol`. Unless a call brings data and no value it
# stops at once, so that coin fits into the 2,300 gas of `transfer` (a plain EIP-1167 proxy needs 2,600 for its cold
# DELEGATECALL alone); what follows is EIP-1167 with its one jump target moved by the nine bytes in front.
_RUNTIME_HEAD = bytes.fromhex("34153602600857005b" + "363d3d373d3d3d363d73")
_RUNTIME_TAIL = bytes.fromhex("5af43d82803e903d91603457fd5bf3")
_INIT_HEAD = bytes.fromhex("3d603680600a3d3981f3")  # return the 54 (0x36) bytes that follow


class EvmAddressMalformed(BadInput):
    """The text is not an EVM address. Write `0x` and 40 hexadecimal digits."""

    code = "evm-address-malformed"


class EvmAddressChecksumWrong(BadInput):
    """The letters' case is not the address's EIP-55 checksum, so a digit may be wrong. Copy the address again."""

    code = "evm-address-checksum-wrong"


class VaultOwnersInvalid(BadInput):
    """These owners and this threshold make no safe vault. Name distinct owners, and 1 to all of them."""

    code = "vault-owners-invalid"


class AddressIndexOutOfRange(BadInput):
    """No deposit address has this index. Use an index from 0 to 2^256 - 1."""

    code = "address-index-out-of-range"


@dataclass(frozen=True, slots=True)
class VaultCodes:
    """What the addresses of a deployment depend on besides its owners: public code, the same for everybody."""

    safe_singleton: str
    """Where the Safe's code stands; the vault is a proxy to it."""
    safe_proxy_factory: str
    safe_proxy_code: bytes
    """Creation code of a Safe proxy, without its argument."""
    factory_code: bytes
    """Creation code of `ForwarderFactory`, without its argument."""


@dataclass(frozen=True, slots=True)
class VaultPlan:
    """Where a vault and what belongs to it stand, or will stand once deployed (EIP-55 addresses)."""

    factory: str
    implementation: str
    vault: str
    owners: tuple[str, ...]
    threshold: int


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (the padding of before FIPS 202)."""
    return keccak.new(digest_bits=256, data=data).digest()


def checksum(address: bytes) -> str:
    """The EIP-55 form of a 20-byte address: a letter is upper case where the hash's digit is 8 or more."""
    if len(address) != 20:
        raise EvmAddressMalformed(f"{len(address)} bytes")
    text = address.hex()
    digest = keccak256(text.encode()).hex()
    return "0x" + "".join(char.upper() if mark >= "8" else char for char, mark in zip(text, digest[:40], strict=True))


def parse_address(text: str) -> str:
    """The EIP-55 form of an address that a person or program wrote; all lower and all upper case carry no checksum.

    Raises `EvmAddressMalformed`, `EvmAddressChecksumWrong` (mixed case that is not its checksum).
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise EvmAddressMalformed(f"{text[:60]!r}")
    digits = match[1]
    canonical = checksum(bytes.fromhex(digits))
    if digits not in (digits.lower(), digits.upper(), canonical[2:]):
        raise EvmAddressChecksumWrong(f"{text[:60]!r}")
    return canonical


def address_bytes(address: str) -> bytes:
    """The 20 bytes of an address. Raises as `parse_address`."""
    return bytes.fromhex(parse_address(address)[2:])


def create2(deployer: bytes, salt: bytes, init_code_hash: bytes) -> bytes:
    """The address that CREATE2 gives (EIP-1014): the last 20 bytes of keccak(0xff ‖ deployer ‖ salt ‖ hash)."""
    if (len(deployer), len(salt), len(init_code_hash)) != (20, 32, 32):
        raise EvmAddressMalformed("CREATE2 takes 20, 32 and 32 bytes")
    return keccak256(b"\xff" + deployer + salt + init_code_hash)[12:]


def forwarder_code(implementation: bytes) -> bytes:
    """The runtime code of a deposit address once it is deployed."""
    return _RUNTIME_HEAD + implementation + _RUNTIME_TAIL


def deposit_address(factory: str, implementation: str, index: int) -> str:
    """Deposit address `index` of a factory: a CREATE2 forwarder whose salt is the index as a 32-byte word.

    Raises `AddressIndexOutOfRange` and, for the two addresses, as `parse_address`.
    """
    if not 0 <= index <= INDEX_MAX:
        raise AddressIndexOutOfRange(str(index)[:80])
    init_code = _INIT_HEAD + forwarder_code(_trusted_bytes(implementation))
    return checksum(create2(_trusted_bytes(factory), index.to_bytes(32, "big"), keccak256(init_code)))


def safe_initializer(owners: Sequence[str], threshold: int) -> bytes:
    """Call data of `Safe.setup`: these owners, no module, no fallback handler, no refund (EIP-712 is not involved).

    Owners are sorted, so that the same people make the same vault. Raises `VaultOwnersInvalid`.
    """
    sorted_owners = sorted(address_bytes(owner) for owner in owners)
    if not 1 <= threshold <= len(sorted_owners) <= _OWNERS_MAX or len(set(sorted_owners)) != len(sorted_owners):
        raise VaultOwnersInvalid(f"{threshold} of {len(owners)}")
    if sorted_owners[0] <= (1).to_bytes(20, "big"):
        raise VaultOwnersInvalid("the zero address and the Safe's list sentinel cannot own it")
    data_offset = (9 + len(sorted_owners)) * 32
    words = [_word(8 * 32), _word(threshold), _word(0), _word(data_offset), *[_word(0)] * 4]
    words += [_word(len(sorted_owners)), *(owner.rjust(32, b"\0") for owner in sorted_owners), _word(0)]
    return _SETUP_SELECTOR + b"".join(words)


def plan(owners: Sequence[str], threshold: int, codes: VaultCodes) -> VaultPlan:
    """Where vault, factory and implementation of these owners stand on every EVM network, before any exists.

    vault: CREATE2 by the Safe's own proxy factory; factory: CREATE2 by `CREATE2_DEPLOYER`, salt 0, code ‖ vault;
    implementation: the factory's first CREATE (nonce 1, EIP-161). Raises `VaultOwnersInvalid`.
    """
    initializer = safe_initializer(owners, threshold)
    salt = keccak256(keccak256(initializer) + _word(0))
    proxy_code = codes.safe_proxy_code + address_bytes(codes.safe_singleton).rjust(32, b"\0")
    vault = create2(address_bytes(codes.safe_proxy_factory), salt, keccak256(proxy_code))
    factory = create2(address_bytes(CREATE2_DEPLOYER), _word(0), keccak256(factory_init_code(codes, vault)))
    implementation = keccak256(b"\xd6\x94" + factory + b"\x01")[12:]  # RLP of [factory, 1]
    return VaultPlan(
        factory=checksum(factory),
        implementation=checksum(implementation),
        vault=checksum(vault),
        owners=tuple(checksum(owner) for owner in sorted(address_bytes(owner) for owner in owners)),
        threshold=threshold,
    )


def factory_init_code(codes: VaultCodes, vault: bytes) -> bytes:
    """Creation code of the factory whose only destination is `vault`."""
    return codes.factory_code + vault.rjust(32, b"\0")


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _trusted_bytes(address: str) -> bytes:
    """As `address_bytes`, without the hash of its checksum: this is the hot path of derivation."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise EvmAddressMalformed(f"{address[:60]!r}")
    return bytes.fromhex(match[1])
