"""The contracts that Holdfast puts on EVM networks, as data: code, call data and events.

The artefacts beside this file are built by `contracts/build` and, for the Safe, are its published release; a test
builds the first again and proves the second by its CREATE2 addresses. Nothing here talks to a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from holdfast.core.evm import VaultCodes, VaultPlan, address_bytes, keccak256, plan
from holdfast.core.evm_float import COIN as COIN, float_address

_DIRECTORY = Path(__file__).parent / "evm_artifacts"


def selector(signature: str) -> bytes:
    """The four bytes that name a function, e.g. `transfer(address,uint256)`."""
    return keccak256(signature.encode())[:4]


def topic(signature: str) -> str:
    """The first topic of an event's logs, e.g. `Transfer(address,address,uint256)`."""
    return "0x" + keccak256(signature.encode()).hex()


TRANSFER_TOPIC = topic("Transfer(address,address,uint256)")
FLUSHED_TOPIC = topic("Flushed(address,uint256)")
FLUSH_FAILED_TOPIC = topic("FlushFailed(address,address)")
TRANSFER_SELECTOR = selector("transfer(address,uint256)")
_FLUSH_SELECTOR = selector("flush(uint256[],address[])")
_CREATE_PROXY_SELECTOR = selector("createProxyWithNonce(address,bytes,uint256)")


class Artefact(msgspec.Struct, frozen=True):
    """One contract as `contracts/build` wrote it."""

    contract: str
    source: str
    compiler: str
    creation_code: str
    runtime_code: str
    immutable_offsets: list[list[int]]
    abi: list[dict[str, Any]]

    @property
    def creation(self) -> bytes:
        """The code that a creating transaction carries, before its constructor's arguments."""
        return bytes.fromhex(self.creation_code[2:])

    def runtime(self, *immutables: bytes) -> bytes:
        """The code that stands on chain afterwards, with these immutables in the order of their declaration."""
        code = bytearray.fromhex(self.runtime_code[2:])
        for value, offsets in zip(immutables, self.immutable_offsets, strict=True):
            for offset in offsets:
                code[offset : offset + 32] = value.rjust(32, b"\0")
        return bytes(code)


class SafeContract(msgspec.Struct, frozen=True):
    """A contract of the Safe's release: where it stands everywhere, and the code that puts it there."""

    address: str
    creation_code: str


class SafeProxy(msgspec.Struct, frozen=True):
    """The small proxy that each Safe is."""

    creation_code: str
    runtime_code: str


class SignedDeployment(msgspec.Struct, frozen=True):
    """A transaction, signed by the Safe's people, that creates their deployer on one network."""

    signer: str
    cost_wei: str
    transaction: str


class SingletonFactory(msgspec.Struct, frozen=True):
    """The deployer through which the Safe's contracts get the same address on every network."""

    address: str
    runtime_code: str
    signed_deployments: dict[str, SignedDeployment]


class SafeRelease(msgspec.Struct, frozen=True):
    """The parts of one Safe release that a vault needs."""

    version: str
    singleton_factory: SingletonFactory
    singleton: SafeContract
    proxy_factory: SafeContract
    proxy: SafeProxy


@cache
def artefact(name: str) -> Artefact:
    """The built contract `name`, e.g. `ForwarderFactory`, or `localnet/PlainToken` for tests and local networks."""
    return msgspec.json.decode((_DIRECTORY / f"{name}.json").read_bytes(), type=Artefact)


@cache
def safe_release() -> SafeRelease:
    """The Safe release that vaults are made of."""
    return msgspec.json.decode((_DIRECTORY / "Safe.json").read_bytes(), type=SafeRelease)


@cache
def vault_codes() -> VaultCodes:
    """The public code on which every deployment's addresses depend."""
    release = safe_release()
    return VaultCodes(
        safe_singleton=release.singleton.address,
        safe_proxy_factory=release.proxy_factory.address,
        safe_proxy_code=bytes.fromhex(release.proxy.creation_code[2:]),
        factory_code=artefact("ForwarderFactory").creation,
    )


def plan_vault(owners: Sequence[str], threshold: int) -> VaultPlan:
    """Where the vault, factory and implementation of these owners stand on every EVM network.

    Raises `VaultOwnersInvalid`, and for an owner's address as `parse_address`.
    """
    return plan(owners, threshold, vault_codes())


def float_of(owner: str, vault: str) -> str:
    """Where the float of this owner and vault stands on every EVM network. Raises as `parse_address`."""
    return float_address(owner, vault, artefact("Float").creation)


def flush_call(indexes: Sequence[int], tokens: Sequence[str]) -> bytes:
    """Call data that has the factory move these tokens (`COIN`: the coin) of these deposit addresses to the vault."""
    index_words = [word(index) for index in indexes]
    token_words = [address_bytes(token).rjust(32, b"\0") for token in tokens]
    head = word(64) + word(96 + 32 * len(index_words))
    return _FLUSH_SELECTOR + head + _array(index_words) + _array(token_words)


def create_proxy_call(singleton: str, initializer: bytes) -> bytes:
    """Call data that has the Safe's proxy factory make a Safe with salt nonce 0."""
    head = address_bytes(singleton).rjust(32, b"\0") + word(96) + word(0)
    return _CREATE_PROXY_SELECTOR + head + encode_bytes(initializer)


def transfer_call(to: str, units: int) -> bytes:
    """Call data of an ERC-20 transfer."""
    return TRANSFER_SELECTOR + address_bytes(to).rjust(32, b"\0") + word(units)


def word(value: int) -> bytes:
    """A uint256 as the ABI has it."""
    return value.to_bytes(32, "big")


def encode_bytes(data: bytes) -> bytes:
    """`bytes` as the ABI has it: its length, then the data filled up to whole words."""
    return word(len(data)) + data + bytes(-len(data) % 32)


def _array(words: list[bytes]) -> bytes:
    return word(len(words)) + b"".join(words)
