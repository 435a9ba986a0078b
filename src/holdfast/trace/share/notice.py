"""What is shared of a theft, and nothing else: these fields are the allow-list. Pure values.

No field has room for a customer: no text of the case, no address of the victim, no account, no IP address. Formats
(STIX, MISP) are written from a notice and read into one.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.core.errors import BadInput


class NoticeMalformed(BadInput):
    """This is no notice that can be read. Ask its sender for it again, in STIX 2.1 or as a MISP event."""

    code = "notice-malformed"


class Tlp(StrEnum):
    """Traffic Light Protocol 2.0 (FIRST, 2022): to whom it may be passed on."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    AMBER_STRICT = "amber+strict"
    """The recipient's own organisation only: what is meant unless somebody says otherwise."""
    RED = "red"


class Role(StrEnum):
    """What an address did."""

    THIEF = "thief"
    """The theft itself paid it."""
    LAUNDERING = "laundering"
    DEPOSIT = "deposit"
    """The thief's deposit address at a service: the service knows whose."""


class SharedAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address that money of the theft was held at."""

    network: str
    """CAIP-2."""
    address: str
    """Canonical (EIP-55 on EVM)."""
    role: Role
    confidence: int
    """0 to 100, as STIX has it."""
    first_seen: int = 0
    """Seconds since 1970."""
    last_seen: int = 0
    units: dict[str, int] = {}
    """By asset (CAIP-19): how much of the theft came there, in units of it."""
    service: str = ""
    """For a deposit address: of which service."""
    valid_until: int = 0
    """0: until it is revoked."""
    revoked: bool = False
    """It was said before and is taken back."""

    @property
    def account(self) -> str:
        """CAIP-10."""
        return f"{self.network}:{self.address}"


class SharedSide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a transaction that carried money of the theft."""

    address: str
    """Empty: the victim's, or a service's own, which are not shared."""
    asset: str
    units: int


class SharedTransaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A transaction of the theft or after it."""

    network: str
    transaction: str
    time: int
    inputs: tuple[SharedSide, ...] = ()
    outputs: tuple[SharedSide, ...] = ()


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One warning about one theft."""

    incident: str
    """Its id for those that share: chosen by who first tells, the same in every later version."""
    name: str
    by: str
    """The organisation that tells."""
    started_at: int
    """Seconds since 1970: when the theft began."""
    created_at: int
    """When the incident was first told of."""
    modified_at: int
    tlp: Tlp = Tlp.AMBER_STRICT
    confidence: int = 50
    addresses: tuple[SharedAddress, ...] = ()
    transactions: tuple[SharedTransaction, ...] = ()
