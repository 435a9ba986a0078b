"""What `holdfast doctor` finds: one line per check, and what to do where it is not well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.core.errors import HoldfastError

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    level: Level
    detail: str
    remedy: str = ""


def failed(check: str, error: HoldfastError) -> Finding:
    """An error that Holdfast knows, as a finding."""
    facts = "".join(f" {name}={value}" for name, value in error.facts.items())
    said = f" ({error.detail}{facts})" if error.detail or facts else ""
    return Finding(check, "fail", f"{error.title().removesuffix('.')}{said} [{error.code}]", error.remedy())
