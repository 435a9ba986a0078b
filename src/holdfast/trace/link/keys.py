"""The key behind an address, as far as the address itself shows it: equal on two networks, it is one owner's.

EVM accounts carry the last 20 bytes of a key's Keccak hash on every EVM network; TRON writes the same 20 bytes in
base58check behind 0x41; P2PKH (BIP 13's sibling) and P2WPKH (BIP 173) carry the key's HASH160 on every network of the
Bitcoin family. Script hashes show no key.
"""

from __future__ import annotations

from functools import lru_cache

from embit import base58, bech32

from holdfast.core.networks import BITCOIN_NETWORKS

_TRON_VERSION = 0x41
_HASH_BYTES = 20
_EVM_LENGTH = 42
_P2PKH = frozenset(network.p2pkh for network in BITCOIN_NETWORKS)
_WITNESS_0 = 0


@lru_cache(maxsize=65536)
def key_of(network: str, address: str) -> str:
    """`keccak:<hex>` or `hash160:<hex>`, the same for one key on every network; empty where the address shows none."""
    if network.startswith("eip155:"):
        return f"keccak:{address[2:].lower()}" if len(address) == _EVM_LENGTH and address.startswith("0x") else ""
    if network.startswith("tron:"):
        payload = _checked(address)
        return f"keccak:{payload[1:].hex()}" if payload[:1] == bytes([_TRON_VERSION]) else ""
    if network.startswith("bip122:"):
        return _bitcoin_key(address)
    return ""


def _checked(address: str) -> bytes:
    try:
        payload = bytes(base58.decode_check(address))
    except (ValueError, AssertionError, KeyError):
        return b""
    return payload if len(payload) == _HASH_BYTES + 1 else b""


def _bitcoin_key(address: str) -> str:
    payload = _checked(address)
    if payload:
        return f"hash160:{payload[1:].hex()}" if payload[0] in _P2PKH else ""
    prefix = address.lower().rpartition("1")[0]
    version, program = bech32.decode(prefix, address) if prefix else (None, None)
    if version != _WITNESS_0 or program is None or len(program) != _HASH_BYTES:
        return ""
    return f"hash160:{bytes(program).hex()}"
