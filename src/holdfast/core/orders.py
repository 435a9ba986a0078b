"""What officers and merchants order the signer to do besides payouts: begin, go on, stop, change a key.

Officers' orders are signed m-of-n over a domain tag and the exact bytes. Stopping takes one person; all else a quorum.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

from holdfast.core import canonical
from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.errors import BadInput
from holdfast.core.quorum import Signature, tagged

ORDER_TAG = b"holdfast order 1\0"
FREEZE_TAG = b"holdfast freeze 1\0"
PRESENT_TAG = b"holdfast present 1\0"
VETO_TAG = b"holdfast veto 1\0"
RECOVERY_TAG = b"holdfast recovery 1\0"
EVERYTHING = "*"
"""The scope of a freeze that stops all networks."""


class Stage(StrEnum):
    """How far payouts of a scope have come back after a freeze: each step by one order, never two at once."""

    FROZEN = "frozen"
    """Nothing is signed."""
    ALLOWLISTED = "allowlisted"
    """Only to destinations that have long been on the policy's list, within the divided limits."""
    LIMITED = "limited"
    """To any destination, within the divided limits."""
    NORMAL = "normal"


CHECKS = ("journal-verified", "reconciled", "float-rotated", "credentials-rotated", "dependencies-clean")
"""What officers affirm that they have seen, in the order in which it is done. `float-rotated`: or never touched."""
STEPS = {
    Stage.ALLOWLISTED: (Stage.FROZEN, frozenset(CHECKS[:3])),
    Stage.LIMITED: (Stage.ALLOWLISTED, frozenset(CHECKS[:4])),
    Stage.NORMAL: (Stage.LIMITED, frozenset(CHECKS)),
}
"""Of each step: the stage that it leads on from, and the checks that it needs. The first may follow on any stage."""


class OrderMalformed(BadInput):
    """The order lacks something, or is of no kind that is known. Make it with `holdfast signer` or `holdfast vault`."""

    code = "order-malformed"


class FloatKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signer's part on one network: public data only."""

    network: str
    public_key: str
    """secp256k1, compressed, hex."""
    address: str
    """Where the float lies: the key's own address (Bitcoin family), or the Float contract that the key owns (EVM)."""
    vault: str
    """The one destination that needs no merchant: an own address of the vault (Bitcoin family), or the Safe."""


class Genesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="genesis", tag_field="kind"):
    """The first entry of a journal: who may order what from now on."""

    quorum: str
    """The quorum document's text."""
    journal_key: str
    """Ed25519 public key with which the signer signs what it asks of the watchtower, hex."""
    lease_key: str
    """Ed25519 public key with which the watchtower signs leases, hex."""
    floats: tuple[FloatKey, ...]
    created_at: int


class RotateFloat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rotate-float", tag_field="kind"):
    """From now on the float of a network lies under this key; what lies under the old one goes to the vault."""

    float: FloatKey
    number: int
    """Unique among all orders."""


class Restore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="restore", tag_field="kind"):
    """The next step of these scopes on their way back. The first one ends the freezes that the officers knew of."""

    scopes: tuple[str, ...]
    """CAIP-2 ids, CAIP-19 ids, merchants' ids, or `*`: the first step of `*` ends all freezes."""
    stage: Stage
    at: int
    """Seconds since 1970: a freeze that comes later outlasts it, so an order that was held back is worth nothing."""
    number: int
    checked: tuple[str, ...]
    """Of `CHECKS`: what the officers have seen."""


class Reanchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="re-anchor", tag_field="kind"):
    """Go on from this head although the watchtower, or the journal, is a new one."""

    seq: int
    head: str
    """Hash of entry `seq`, hex."""
    lease_key: str
    number: int


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decide", tag_field="kind"):
    """The quorum decides about a merchant whose key change was vetoed: this certificate version counts."""

    merchant: str
    version: int
    number: int


class DirectPayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="direct-payout", tag_field="kind"):
    """Pay this intent out of the vault: a sum above the float, or while the float is gone. Never by the float."""

    intent: str
    """The intent's exact bytes as text."""
    signature: str
    """The merchant's, 64 bytes, hex."""
    number: int


class Migration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="migration", tag_field="kind"):
    """The vault of a network moves to another one. Its old addresses stay watched for ever."""

    network: str
    address: str
    """Where everything goes: an address of the new vault, or the new Safe."""
    not_before: int
    """Seconds since 1970; what loosens waits the policy's delay at the least."""
    number: int


Order = Genesis | RotateFloat | Restore | Reanchor | Decide | DirectPayout | Migration


class SignedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order as it travels."""

    document: str
    signatures: tuple[Signature, ...]


class Freeze(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop now. Signed by one officer, or by one of the policy's freeze keys."""

    scope: str
    """A CAIP-2 id, a CAIP-19 id, a merchant's id, or `*`."""
    reason: str
    by: str
    """Ed25519 public key, hex."""
    at: int
    """Seconds since 1970, to tell one freeze from another."""


class Present(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who may freeze is there and looks after it: the dead man's switch waits its time anew."""

    by: str
    """Ed25519 public key, hex."""
    at: int
    """Seconds since 1970."""


class Veto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A merchant's old key or recovery key says: that new key is not mine. His payouts stop until it is decided."""

    merchant: str
    version: int
    """Version of the certificate that brings the new key."""
    by: str
    at: int


class Recovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A merchant's recovery key says which certificate counts after a veto."""

    merchant: str
    version: int
    """Its key is his; a newer one that was vetoed is not."""
    by: str
    at: int


class SignedWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's word as it travels: the exact bytes as text, and one signature by its `by`."""

    document: str
    signature: str


Word = TypeVar("Word", Freeze, Present, Veto, Recovery)
_KINDS: dict[bytes, type[Order]] = {
    b'"kind":"genesis"': Genesis,
    b'"kind":"rotate-float"': RotateFloat,
    b'"kind":"restore"': Restore,
    b'"kind":"re-anchor"': Reanchor,
    b'"kind":"decide"': Decide,
    b'"kind":"direct-payout"': DirectPayout,
    b'"kind":"migration"': Migration,
}


def read_order(document: bytes) -> Order:
    """The order in a document, whoever signed it. Raises `OrderMalformed`."""
    for mark, kind in _KINDS.items():
        if mark in document:
            try:
                return canonical.read(document, kind)
            except DocumentNotCanonical as error:
                raise OrderMalformed(error.detail) from None
    raise OrderMalformed("no known kind")


def read_word(document: bytes, kind: type[Word]) -> Word:
    """A freeze, sign of presence, veto or recovery, whoever signed it. Raises `OrderMalformed`."""
    try:
        return canonical.read(document, kind)
    except DocumentNotCanonical as error:
        raise OrderMalformed(error.detail) from None


def signing_input(document: bytes) -> bytes:
    """What an officer's key signs for an order."""
    return tagged(ORDER_TAG, document)
