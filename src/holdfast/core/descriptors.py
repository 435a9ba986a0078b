"""The vault's multisig descriptor (BIP 380, 383): `wsh(sortedmulti(m, …/0/*, …))`, or `sh(…)` for coins without SegWit.

Derives with libsecp256k1: embit's pure Python makes some thousand addresses a second less. Holds public keys only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from coincurve import PublicKey
from embit import base58, bech32
from embit.descriptor.checksum import checksum

from holdfast.core.errors import BadInput
from holdfast.core.networks import BitcoinNetwork, ScriptType

INDEX_MAX = 2**31 - 1
_XPUB_BYTES = 78
_WHOLE = re.compile(r"(wsh|sh)\(sortedmulti\((\d{1,2}),([^()]+)\)\)(?:#([a-z0-9]{8}))?", re.ASCII)
_KEY = re.compile(r"(?:\[([0-9a-f]{8})((?:/\d+[h']?)*)\])?([1-9A-HJ-NP-Za-km-z]{100,120})((?:/\d+)*)/\*", re.ASCII)
_OP_MULTISIG = 0xAE


class Branch(IntEnum):
    """The step before the index; wallets and devices know the two by heart (BIP 44, 388)."""

    DEPOSIT = 0
    """Its indexes are granted to merchants by certificate."""
    CHANGE = 1
    """What a spend of the vault gives back to the vault. No certificate can grant it, because none names a branch."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in the vault a script lies."""

    branch: Branch
    index: int


class DescriptorChecksumWrong(BadInput):
    """The descriptor's checksum does not fit it, so a character may be wrong. Copy it again, whole."""

    code = "descriptor-checksum-wrong"


class DescriptorMalformed(BadInput):
    """The vault's descriptor cannot be read. Write it as `wsh(sortedmulti(2,[fingerprint/48h/…]xpub…/0/*,…))`."""

    code = "descriptor-malformed"


@dataclass(frozen=True, slots=True)
class _Chain:
    point: bytes
    code: bytes

    def child(self, index: int) -> _Chain:
        digest = hmac.digest(self.code, self.point + index.to_bytes(4, "big"), "sha512")
        return _Chain(PublicKey(self.point).add(digest[:32]).format(), digest[32:])


@dataclass(frozen=True, slots=True)
class DescriptorKey:
    """One officer's key in a descriptor: where his device finds it, and what everybody derives from it."""

    fingerprint: str
    """Of his seed, 8 hex digits; empty where the descriptor does not say."""
    path: str
    """From his seed to the extended key, with `h` for hardened steps, e.g. `48h/2h/0h/2h`."""
    xpub: str
    deposits: _Chain
    change: _Chain | None
    """None where the descriptor does not end in the deposit branch `/0/*`, so that it has no branch beside it."""

    def point(self, place: Place) -> bytes:
        """His public key there, compressed. Raises `DescriptorMalformed`."""
        chain = self.deposits if place.branch is Branch.DEPOSIT else self.change
        if chain is None or not 0 <= place.index <= INDEX_MAX:
            raise DescriptorMalformed(f"index {place.index} of branch {place.branch}")
        return chain.child(place.index).point


@dataclass(frozen=True, slots=True)
class VaultDescriptor:
    """A parsed descriptor."""

    script_type: ScriptType
    threshold: int
    keys: tuple[DescriptorKey, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def parse(text: str) -> VaultDescriptor:
        """Read a descriptor, with or without its checksum. Raises `DescriptorMalformed`, `DescriptorChecksumWrong`."""
        whole = _WHOLE.fullmatch(text)
        if whole is None:
            raise DescriptorMalformed(text[:80])
        if whole[4] is not None and whole[4] != checksum(text.partition("#")[0]):
            raise DescriptorChecksumWrong(whole[4])
        keys = tuple(_key(key) for key in whole[3].split(","))
        threshold = int(whole[2])
        if not 1 <= threshold <= len(keys) <= 15:
            raise DescriptorMalformed(f"{threshold} of {len(keys)}")
        return VaultDescriptor(ScriptType(whole[1]), threshold, keys)

    def multisig(self, place: Place) -> bytes:
        """The multisig script there (BIP 67: keys sorted): witness script or redeem script. Raises as `address`."""
        points = sorted(key.point(place) for key in self.keys)
        return (
            bytes([0x50 + self.threshold])
            + b"".join(b"\x21" + point for point in points)
            + bytes([0x50 + len(points), _OP_MULTISIG])
        )

    def address(self, index: int, network: BitcoinNetwork, branch: Branch = Branch.DEPOSIT) -> str:
        """The address at this index. Raises `DescriptorMalformed` where the network has no such script."""
        script = self.multisig(Place(branch, index))
        if self.script_type is ScriptType.WSH and network.hrp is not None:
            return str(bech32.encode(network.hrp, 0, hashlib.sha256(script).digest()))
        if self.script_type is ScriptType.SH:
            digest = hashlib.new("ripemd160", hashlib.sha256(script).digest()).digest()
            return str(base58.encode_check(bytes([network.p2sh[0]]) + digest))
        raise DescriptorMalformed(f"{network.name} has no {self.script_type} addresses")


def _key(text: str) -> DescriptorKey:
    match = _KEY.fullmatch(text.strip())
    if match is None:
        raise DescriptorMalformed(text[:60])
    try:
        raw = base58.decode_check(match[3])
        chain = _Chain(PublicKey(raw[45:]).format(), raw[13:45])
    except ValueError as error:
        raise DescriptorMalformed(f"{match[3][:12]}…: {error}") from None
    if len(raw) != _XPUB_BYTES:
        raise DescriptorMalformed(f"{match[3][:12]}… is not an extended public key")
    steps = [int(step) for step in match[4].split("/")[1:]]
    for step in steps[:-1]:
        chain = chain.child(step)
    return DescriptorKey(
        fingerprint=match[1] or "",
        path=(match[2] or "").replace("'", "h")[1:],
        xpub=match[3],
        deposits=chain.child(steps[-1]) if steps else chain,
        change=chain.child(Branch.CHANGE) if steps == [Branch.DEPOSIT] else None,
    )
