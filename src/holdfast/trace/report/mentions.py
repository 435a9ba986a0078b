"""Every address, transaction and contract in a text must be one that the case has: copied, never retyped. Pure.

What looks like an identifier and is none of the case's is a mistake, or an address that somebody slipped in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast.core.errors import BadInput
from holdfast.trace.model import Label, Trace, Transfer

_LOOKS = re.compile(
    r"0x[0-9a-fA-F]{40,64}"  # EVM account or transaction
    r"|\b[0-9a-fA-F]{64}\b"  # transaction of the Bitcoin family, SHA-256
    r"|\b(?:bc|tb|bcrt|ltc|tltc|rltc)1[02-9ac-hj-np-z]{20,90}\b"  # BIP 173 and 350
    r"|\b[123LMmnDA9TX][1-9A-HJ-NP-Za-km-z]{25,39}\b"  # Base58Check: Bitcoin family, TRON
)


class MentionUnknown(BadInput):
    """A text names an address or hash that the case does not have. Correct the statement, or pull what it speaks of."""

    code = "mention-unknown"


def mentions(text: str) -> set[str]:
    """Everything in a text that looks like an address or a hash."""
    return {found.group().lower() if found.group().startswith("0x") else found.group()
            for found in _LOOKS.finditer(text)}  # fmt: skip


def known(trace: Trace, transfers: Iterable[Transfer], labels: Iterable[Label], further: Iterable[str]) -> set[str]:
    """Every identifier of a case, in the form that `mentions` gives."""
    words: set[str] = set(further)
    for moved in (*transfers, *trace.thefts, *(step.transfer for step in trace.steps)):
        words |= {moved.transaction, moved.source, moved.target, moved.asset, moved.network, moved.outpoint}
    for label in labels:
        words |= {label.address, label.network}
    for end in trace.ends:
        words |= {end.address, end.asset, end.network}
    found = set()
    for word in words:
        found |= {part.lower() if part.startswith("0x") else part for part in re.split(r"[:/ ]", word) if part}
    return found


def check(texts: Iterable[tuple[str, str]], identifiers: set[str]) -> int:
    """How many mentions there are, each of them known. Raises `MentionUnknown` with the text that has another."""
    count = 0
    for name, text in texts:
        for mention in sorted(mentions(text)):
            if mention not in identifiers:
                raise MentionUnknown(f"{name}: {mention}")
            count += 1
    return count
