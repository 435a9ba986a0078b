"""The vault's multisig descriptor (BIP 380, 383): `wsh(sortedmulti(m, …/0/*, …))`, or `sh(…)` for coins without SegWit.

Derives with libsecp256k1: embit's pure Python makes some thousand addresses a second less. Holds public keys only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache

from coincurve import PublicKey
from embit import base58, bech32
from embit.descriptor.checksum import checksum

from holdfast.core.errors import BadInput
from holdfast.core.networks import BitcoinNetwork, ScriptType

INDEX_MAX = 2**31 - 1
_XPUB_BYTES = 78
_WHOLE = re.compile(r"(wsh|sh)\(sortedmulti\((\d{1,2}),([^()]+)\)\)(?:#([a-z0-9]{8}))?", re.ASCII)
_KEY = re.compile(r"(?:\[[0-9a-f]{8}(?:/\d+[h']?)*\])?([1-9A-HJ-NP-Za-km-z]{100,120})((?:/\d+)*)/\*", re.ASCII)
_OP_MULTISIG = 0xAE


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
class VaultDescriptor:
    """A parsed descriptor."""

    script_type: ScriptType
    threshold: int
    keys: tuple[_Chain, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def parse(text: str) -> VaultDescriptor:
        """Read a descriptor, with or without its checksum. Raises `DescriptorMalformed`, `DescriptorChecksumWrong`."""
        whole = _WHOLE.fullmatch(text)
        if whole is None:
            raise DescriptorMalformed(text[:80])
        if whole[4] is not None and whole[4] != checksum(text.partition("#")[0]):
            raise DescriptorChecksumWrong(whole[4])
        keys = tuple(_chain(key) for key in whole[3].split(","))
        threshold = int(whole[2])
        if not 1 <= threshold <= len(keys) <= 15:
            raise DescriptorMalformed(f"{threshold} of {len(keys)}")
        return VaultDescriptor(ScriptType(whole[1]), threshold, keys)

    def address(self, index: int, network: BitcoinNetwork) -> str:
        """The address at this index. Raises `DescriptorMalformed` where the network has no such script."""
        if not 0 <= index <= INDEX_MAX:
            raise DescriptorMalformed(f"index {index}")
        points = sorted(key.child(index).point for key in self.keys)
        script = (
            bytes([0x50 + self.threshold])
            + b"".join(b"\x21" + point for point in points)
            + bytes([0x50 + len(points), _OP_MULTISIG])
        )
        if self.script_type is ScriptType.WSH and network.hrp is not None:
            return str(bech32.encode(network.hrp, 0, hashlib.sha256(script).digest()))
        if self.script_type is ScriptType.SH:
            digest = hashlib.new("ripemd160", hashlib.sha256(script).digest()).digest()
            return str(base58.encode_check(bytes([network.p2sh[0]]) + digest))
        raise DescriptorMalformed(f"{network.name} has no {self.script_type} addresses")


def _chain(text: str) -> _Chain:
    match = _KEY.fullmatch(text.strip())
    if match is None:
        raise DescriptorMalformed(text[:60])
    try:
        raw = base58.decode_check(match[1])
        chain = _Chain(PublicKey(raw[45:]).format(), raw[13:45])
    except ValueError as error:
        raise DescriptorMalformed(f"{match[1][:12]}…: {error}") from None
    if len(raw) != _XPUB_BYTES:
        raise DescriptorMalformed(f"{match[1][:12]}… is not an extended public key")
    for step in match[2].split("/")[1:]:
        chain = chain.child(int(step))
    return chain
