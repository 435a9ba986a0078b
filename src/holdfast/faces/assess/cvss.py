"""The severity of a CVSS v3 vector: the base score's formula and the ratings of CVSS v3.1 (FIRST), sections 5 and 7.1.

Counted in integers, scaled, so that the rounding of the standard's appendix A comes out as it is written there.
"""

from __future__ import annotations

from holdfast.faces.assess.severities import Severity

ONE = 10**5
_WEIGHTS = {
    "AV": {"N": 85, "A": 62, "L": 55, "P": 20},
    "AC": {"L": 77, "H": 44},
    "UI": {"N": 85, "R": 62},
    "C": {"H": 56, "L": 22, "N": 0},
    "I": {"H": 56, "L": 22, "N": 0},
    "A": {"H": 56, "L": 22, "N": 0},
}
_PRIVILEGES = {False: {"N": 85, "L": 62, "H": 27}, True: {"N": 85, "L": 68, "H": 50}}
"""By whether the scope changes."""
_RATINGS = ((90, Severity.CRITICAL), (70, Severity.HIGH), (40, Severity.MEDIUM), (1, Severity.LOW))


def severity_of_vector(vector: str) -> Severity | None:
    """The rating of a `CVSS:3.0/…` or `CVSS:3.1/…` vector; None for another version, or one that is none."""
    tenths = score_of_vector(vector)
    if tenths is None:
        return None
    return next((severity for least, severity in _RATINGS if tenths >= least), Severity.INFO)


def score_of_vector(vector: str) -> int | None:
    """The base score in tenths; None for another version, or text that is no vector."""
    version, _, rest = vector.partition("/")
    if version not in {"CVSS:3.0", "CVSS:3.1"}:
        return None
    metrics = dict(part.split(":", 1) for part in rest.split("/") if ":" in part)
    is_changed = metrics.get("S") == "C"
    try:
        weights = {name: table[metrics[name]] for name, table in _WEIGHTS.items()}
        privileges = _PRIVILEGES[is_changed][metrics["PR"]]
    except KeyError:
        return None
    return _base(weights, privileges, is_changed=is_changed)


def _base(weights: dict[str, int], privileges: int, *, is_changed: bool) -> int:
    iss = 10**6 - (100 - weights["C"]) * (100 - weights["I"]) * (100 - weights["A"])  # of one million
    impact = _changed_impact(iss) if is_changed else 642 * iss // 100  # of one million
    if impact <= 0:
        return 0
    exploitability = 822 * weights["AV"] * weights["AC"] * privileges * weights["UI"] // 10**4  # of one million
    total = impact + exploitability
    if is_changed:
        total = total * 108 // 100
    return _up(min(total, 10 * 10**6))


def _changed_impact(iss: int) -> int:
    """7.52 * (ISS - 0.029) - 3.25 * (ISS - 0.02)^15, of one million."""
    power: int = (iss - 20_000) ** 15 // 10**84
    return 752 * (iss - 29_000) // 100 - 325 * power // 100


def _up(millionths: int) -> int:
    """Tenths, rounded up, after a rounding to five decimals (appendix A)."""
    hundred_thousandths = (millionths + 5) // 10
    return -(-hundred_thousandths // 10**4)
