"""Amounts and times as files write them, read exactly: integers of smallest units, seconds since 1970. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from holdfast.core.errors import BadInput

_NUMBER = re.compile(r"\+?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_SECONDS = re.compile(r"(\d{1,20})(?:\.\d*)?", re.ASCII)
_DIGITS_MAX = 120
_FIRST_BLOCK, _YEAR_2100 = 1_230_768_000, 4_102_444_800
_MILLISECONDS_FROM = 10**11
_FORMATS = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%b-%d-%Y %I:%M:%S %p", "%Y-%m-%d %H:%M:%S UTC")
"""Beside ISO 8601. Month before day, as explorers write; a file with the day first names its format."""


class AmountUnreadable(BadInput):
    """The text is no amount. Write digits with at most one point."""

    code = "amount-unreadable"


class TimeUnreadable(BadInput):
    """The text is no moment since the first block. Write seconds since 1970 or ISO 8601 in UTC, or name the format."""

    code = "time-unreadable"


def read_amount(text: str, decimals: int) -> tuple[int, bool]:
    """Smallest units, and whether the text had more places than there are: then it is rounded half up.

    Reads what programs write: `12.5`, `1,234.5`, `1e-05`, `5.`, `.5`. Raises `AmountUnreadable`.
    """
    plain = text.strip()
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    match = _NUMBER.fullmatch(plain)
    if match is None or not (match[1] or match[2]) or len(plain) > _DIGITS_MAX:
        raise AmountUnreadable(f"{text[:40]!r}")
    digits = int((match[1] or "") + (match[2] or "") or "0")
    places = decimals - len(match[2] or "") + int(match[3] or 0)
    if places >= 0:
        return digits * 10**places, False
    unit = 10**-places
    whole, rest = divmod(digits, unit)
    return whole + (2 * rest >= unit), rest != 0


def read_units(text: str) -> int:
    """A whole number of smallest units, in digits or hexadecimal. Raises `AmountUnreadable`."""
    plain = text.strip()
    if plain.isascii() and plain.isdigit() and len(plain) <= _DIGITS_MAX:
        return int(plain)
    if _HEX.fullmatch(plain):
        return int(plain, 16)
    units, is_rounded = read_amount(plain, 0)
    if is_rounded:
        raise AmountUnreadable(f"{text[:40]!r} is no whole number")
    return units


@lru_cache(maxsize=1 << 16)
def read_time(text: str, form: str = "") -> int:
    """Seconds since 1970. Without a zone it is UTC. Raises `TimeUnreadable`."""
    plain = text.strip()
    seconds = _number(plain)
    if seconds is None:
        found = _moment(plain, form)
        if found is None:
            raise TimeUnreadable(f"{text[:40]!r}")
        zoned = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        seconds = int(zoned.timestamp())
    if not _FIRST_BLOCK <= seconds < _YEAR_2100:
        raise TimeUnreadable(f"{text[:40]!r}")
    return seconds


def _number(text: str) -> int | None:
    """Seconds, or milliseconds, as a number; fractions are cut."""
    match = _SECONDS.fullmatch(text)
    if match is None:
        return None
    seconds = int(match[1])
    while seconds >= _MILLISECONDS_FROM:
        seconds //= 1000
    return seconds


def _moment(text: str, form: str) -> datetime | None:
    for each in (form,) if form else ("", *_FORMATS):
        try:
            return datetime.strptime(text, each) if each else datetime.fromisoformat(text)  # noqa: DTZ007  zoned above
        except ValueError:
            continue
    return None
