"""What a finding is: of a kind that a table names, about one thing, with its weight, its reason and its mend. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """How soon it must be mended."""

    CRITICAL = "critical"
    """Money can be taken now by somebody who should not be able to. Stop and mend it."""
    HIGH = "high"
    """One more fault or theft turns it into a loss. Days."""
    MEDIUM = "medium"
    """A defence is missing or worn. Weeks."""
    LOW = "low"
    """Worth doing at the next occasion."""
    INFO = "info"
    """To know, nothing to mend."""

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Severity).index(self)


FAILING = frozenset({Severity.CRITICAL, Severity.HIGH})
"""What makes the command end with 1."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table of findings. `{braces}` in the texts are filled from what was seen."""

    code: str
    """Kebab-case, stable."""
    severity: Severity
    on_test: Severity
    """Where every network is a test network: there is no money behind it."""
    what: str
    why: str
    mend: str
    """What to do, with the command where there is one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    kind: str
    subject: str
    """What it is about: a key's id, a file, an asset; empty: the whole set-up."""
    severity: Severity
    what: str
    why: str
    mend: str

    @property
    def id(self) -> str:
        """Stable as long as the same thing is wrong with the same subject."""
        return f"{self.kind}:{self.subject}" if self.subject else self.kind

    def weighing(self, severity: Severity) -> Finding:
        """The same at another severity: only where the table says that somebody else weighs."""
        return replace(self, severity=severity)


@dataclass(frozen=True, slots=True)
class Judge:
    """Makes findings of the kinds in a table."""

    kinds: Mapping[str, Kind]
    is_test: bool
    """Whether every network is a test network."""

    def found(self, code: str, subject: str = "", **facts: object) -> Finding:
        """A finding about `subject`. Raises `KeyError` for a kind that is not in the table, or a fact it lacks."""
        kind = self.kinds[code]
        given = {"subject": subject, **facts}
        return Finding(
            kind=code,
            subject=subject,
            severity=kind.on_test if self.is_test else kind.severity,
            what=kind.what.format_map(given),
            why=kind.why.format_map(given),
            mend=kind.mend.format_map(given),
        )


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """In the order in which people should read them."""
    return sorted(findings, key=lambda one: (one.severity.rank, one.kind, one.subject))
