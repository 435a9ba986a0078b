"""What no chain tells and only people know: who reports, to whom, when it was noticed, what else there is to say.

Whatever is not stated here is printed as to be filled in by a person; nothing is ever put in its place.
"""

from __future__ import annotations

import msgspec

from holdfast.core.errors import BadInput

STATEMENT_BYTES_MAX = 1_000_000


class StatementMalformed(BadInput):
    """The reporter's statement is not JSON with the fields of the reference page. Correct the field that is named."""

    code = "statement-malformed"


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who reports, or the authority that it is reported to."""

    organisation: str = ""
    registration: str = ""
    """Its number in a register, or its LEI."""
    address: str = ""
    person: str = ""
    role: str = ""
    email: str = ""
    phone: str = ""
    reference: str = ""
    """Under which number it keeps this case: a police report's, the reporter's own."""
    jurisdiction: str = ""


class Moments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When what happened, in seconds since 1970; 0: not stated."""

    occurred_at: int = 0
    detected_at: int = 0
    aware_at: int = 0
    """When the organisation knew of the incident."""
    classified_at: int = 0
    """When it was classified as major."""
    initial_sent_at: int = 0
    intermediate_sent_at: int = 0
    recovered_at: int = 0


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says that he has frozen."""

    network: str
    address: str
    asset: str
    units: int
    by: str
    reference: str
    at: int


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    reporter: Party = Party()
    authority: Party = Party()
    moments: Moments = Moments()
    summary: str = ""
    """What happened, in the reporter's own words."""
    answers: dict[str, str] = {}
    """By number of a form's field: what a person answers."""
    frozen: tuple[Frozen, ...] = ()
    exculpatory: tuple[str, ...] = ()
    """What speaks against the report's conclusions."""
    unknown: tuple[str, ...] = ()
    custodian: str = ""
    """Who keeps the evidence: name and role, for the chain of custody."""


def read_statement(data: bytes) -> Statement:
    """The statement of a file. Raises `StatementMalformed`."""
    if len(data) > STATEMENT_BYTES_MAX:
        raise StatementMalformed(f"{len(data)} bytes are more than {STATEMENT_BYTES_MAX}")
    try:
        return msgspec.json.decode(data, type=Statement)
    except msgspec.DecodeError as error:
        raise StatementMalformed(str(error)[:200]) from None
