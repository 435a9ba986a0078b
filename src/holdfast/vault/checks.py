"""What a checking machine hands to an officer's signing device: this digest was checked, and this is what it does.

Nothing in the vault is signed without one for the very same digest. How a check comes about is told elsewhere; here is
only its form, and the one comparison that every signature makes first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec

from holdfast.core.canonical import DOCUMENT_BYTES_MAX, canonical
from holdfast.core.errors import BadInput, NotPermitted

Digest = NewType("Digest", str)
"""64 hex digits that stand for one spend: `Draft.digest` on the Bitcoin family, the Safe's own hash on EVM."""

LINE_LENGTH_MAX = 200


class CheckMalformed(BadInput):
    """The file is not the result of a check. Use the file that the checking machine wrote, unchanged."""

    code = "check-malformed"


class NotChecked(NotPermitted):
    """What is to be signed is not what was checked. Sign nothing; check this very draft, and ask where it came from."""

    code = "not-checked"


class CheckKind(StrEnum):
    """The four ways in which money leaves the vault; each has a checker of its own."""

    SETTLEMENT = "settlement"
    """To the float, for what the company is owed."""
    CONSOLIDATION = "consolidation"
    """To the vault itself."""
    MIGRATION = "migration"
    """To another vault that a quorum document names."""
    DIRECT_PAYOUT = "direct-payout"
    """To a destination in a merchant's intent."""


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One spend that passed its checker."""

    kind: CheckKind
    network: str
    """CAIP-2."""
    asset: str
    """CAIP-19."""
    digest: Digest
    lines: tuple[str, ...]
    """What is paid, to whom, and why: each for a person to read before signing."""

    def document(self) -> bytes:
        """As it is carried to the signing device: canonical JSON."""
        return canonical(
            {
                "asset": self.asset,
                "digest": self.digest,
                "kind": self.kind.value,
                "lines": list(self.lines),
                "network": self.network,
            }
        )


def read_check(data: bytes) -> Check:
    """The check in a file. Raises `CheckMalformed`, also for lines that a terminal would not show as they are."""
    try:
        check = msgspec.json.decode(data[: DOCUMENT_BYTES_MAX + 1], type=Check)
    except msgspec.DecodeError as error:
        raise CheckMalformed(str(error)[:160]) from None
    if not check.lines or any(len(line) > LINE_LENGTH_MAX or not line.isprintable() for line in check.lines):
        raise CheckMalformed("a check has lines of printable characters")
    if check.document() != data.strip():
        raise CheckMalformed("it is not in canonical form")
    return check


def refuse_unless_checked(check: Check, network: str, digest: Digest) -> None:
    """The first thing that every signature does. Raises `NotChecked`."""
    if (check.network, check.digest) != (network, digest):
        raise NotChecked(f"checked: {check.digest} on {check.network}; to be signed: {digest} on {network}")
