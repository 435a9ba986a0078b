"""The forms that have clocks: DORA's three reports on a major incident, and what the FBI's IC3 asks for. Pure.

DORA: field numbers and names of Annex I of Implementing Regulation (EU) 2025/302, times of Article 5 of Delegated
Regulation (EU) 2025/301. IC3: the list in the FBI's announcement of 24 August 2023. A field is filled from the case or
from the reporter's statement, or it is listed as a person's to fill. Weekend rules are national practice: not counted.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.trace.report.classes import DAY, HOUR
from holdfast.trace.report.form_fields import DORA_FINAL, DORA_GENERAL, DORA_INITIAL, DORA_INTERMEDIATE, IC3
from holdfast.trace.report.material import Material
from holdfast.trace.report.statement import Moments
from holdfast.trace.report.writing import Pen, fiat, listed, moment, plural


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    number: str
    name: str
    value: str
    """Empty: a person fills it."""
    origin: str
    """`case`, `statement` or `person`."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form with its clock."""

    name: str
    title: str
    due_at: int
    """Seconds since 1970; 0: nothing is stated that it could be counted from, or it has no clock."""
    clock: str
    """How the time was counted."""
    fields: tuple[Field, ...]

    @property
    def open(self) -> tuple[Field, ...]:
        """What a person must fill."""
        return tuple(field for field in self.fields if not field.value)


def initial_due(moments: Moments) -> int:
    """Article 5(1)(a): 4 hours after classifying, 24 hours after awareness at the latest; 0: neither is stated.

    Classified later than a day after awareness: the 4 hours alone count (Article 5(2)).
    """
    aware = moments.aware_at or moments.detected_at
    by_awareness = aware + DAY if aware else 0
    by_class = moments.classified_at + 4 * HOUR if moments.classified_at else 0
    if by_class and by_awareness and moments.classified_at <= by_awareness:
        return min(by_class, by_awareness)
    return by_class or by_awareness


def intermediate_due(moments: Moments) -> int:
    """Article 5(1)(b): 72 hours after the initial notification was sent; before that, after it is due."""
    sent = moments.initial_sent_at or initial_due(moments)
    return sent + 72 * HOUR if sent else 0


def final_due(moments: Moments) -> int:
    """Article 5(1)(c): a month after the intermediate report was sent; before that, after it is due."""
    sent = moments.intermediate_sent_at or intermediate_due(moments)
    return month_after(sent) if sent else 0


def month_after(at: int) -> int:
    """The same day and hour a calendar month later; the month's last day where it has no such day."""
    then = datetime.fromtimestamp(at, UTC)
    year, month = (then.year + 1, 1) if then.month == 12 else (then.year, then.month + 1)
    day = min(then.day, monthrange(year, month)[1])
    return int(then.replace(year=year, month=month, day=day).timestamp())


def forms_of(material: Material) -> tuple[Form, ...]:
    """All four, filled as far as the case and the statement go."""
    moments = material.statement.moments
    answers = _from_case(material)
    return (
        Form("dora-initial", "DORA initial notification", initial_due(moments), _initial_clock(moments),
             _filled((*DORA_GENERAL, *DORA_INITIAL), answers | {"1.1": "initial notification"}, material)),
        Form("dora-intermediate", "DORA intermediate report", intermediate_due(moments),
             _from("the initial notification", moments.initial_sent_at, "72 hours"),
             _filled((*DORA_GENERAL, *DORA_INTERMEDIATE), answers | {"1.1": "intermediate report"}, material)),
        Form("dora-final", "DORA final report", final_due(moments),
             _from("the intermediate report", moments.intermediate_sent_at, "one month"),
             _filled((*DORA_GENERAL, *DORA_FINAL), answers | {"1.1": "final report"}, material)),
        Form("ic3", "FBI Internet Crime Complaint Center: what to provide", 0,
             "no time is set; the announcement says: at once", _filled(IC3, answers, material)),
    )  # fmt: skip


def text(form: Form, material: Material) -> str:
    """The form as editable text."""
    lines = [form.title, f"Case: {material.name}", f"Due: {moment(form.due_at) or '[no time can be counted]'}",
             f"Clock: {form.clock}", ""]  # fmt: skip
    for field in form.fields:
        lines.append(f"{field.number:<6}{field.name}")
        lines.append(f"      {field.value or '[to be filled in by a person]'}")
    return "\n".join([*lines, "", f"{plural(len(form.open), 'field is', 'fields are')} a person's to fill.", ""])


def _filled(names: tuple[tuple[str, str], ...], answers: dict[str, str], material: Material) -> tuple[Field, ...]:
    found = []
    for number, name in names:
        stated = material.statement.answers.get(number, "")
        value = stated or answers.get(number, "")
        found.append(Field(number, name, value, "statement" if stated else "case" if value else "person"))
    return tuple(found)


def _initial_clock(moments: Moments) -> str:
    if not initial_due(moments):
        return "4 hours after classifying as major, 24 hours after awareness at the latest: neither time is stated"
    if not moments.classified_at:
        return "24 hours after awareness; 4 hours after classifying as major, once that is done, if that is earlier"
    return "4 hours after classifying as major, 24 hours after awareness at the latest"


def _from(what: str, sent: int, how_long: str) -> str:
    return f"{how_long} after {what} was sent" if sent else f"{how_long} after {what} is due: it is not stated as sent"


def _from_case(material: Material) -> dict[str, str]:
    """What the case and the statement's parties and moments answer, by field."""
    stated, trace, pen = material.statement, material.trace, Pen(material.assets)
    who, moments = stated.reporter, stated.moments
    stolen: dict[str, int] = defaultdict(int)
    worth, is_priced = 0, bool(trace.thefts)
    for theft in trace.thefts:
        stolen[theft.asset] += theft.units
        cents = material.prices.cents(theft.asset, theft.units, pen.asset(theft.asset).decimals, theft.time)
        worth, is_priced = worth + (cents or 0), is_priced and cents is not None
    amounts = listed([pen.exact(asset, units) for asset, units in stolen.items()])
    value = fiat(worth, material.prices.currency) if is_priced else ""
    first = moment(moments.occurred_at or min((theft.time for theft in trace.thefts), default=0))
    addresses = sorted({step.transfer.target for step in trace.steps} | {theft.target for theft in trace.thefts})
    description = f"{stated.summary} " if stated.summary else ""
    description += f"On chain: {plural(len(trace.thefts), 'transfer')} took {amounts}, the first at {first}."
    found = {
        "1.2": who.organisation, "1.3": who.registration, "1.5": who.organisation, "1.6": who.registration,
        "1.7": who.person, "1.8": who.email, "1.9": who.phone, "1.15": material.prices.currency,
        "2.1": who.reference or material.name, "2.2": moment(moments.detected_at),
        "2.3": moment(moments.classified_at), "2.4": description,
        "3.1": "", "3.2": first, "3.3": moment(moments.recovered_at),
        "3.9": f"{len({theft.transaction for theft in trace.thefts})} on chain (the theft's own)", "3.11": value,
        "3.32": ", ".join(part for part in (stated.authority.organisation, stated.authority.reference) if part),
        "3.35": f"{plural(len(addresses), 'address', 'addresses')} in the bundle's flow.csv (STIX where it has one)",
        "4.13": value and f"{value}: what was stolen, at the blocks' time; other costs are a person's to add",
        "ic3.1": f"{plural(len(addresses), 'address', 'addresses')}: flow.csv; the first: "
                 f"{', '.join(sorted({theft.target for theft in trace.thefts})[:5])}",
        "ic3.2": amounts, "ic3.3": "; ".join(f"{moment(theft.time)}" for theft in trace.thefts[:20]),
        "ic3.4": "; ".join(theft.transaction for theft in trace.thefts[:20]),
        "ic3.10": ", ".join(sorted({end.label.name for end in trace.ends if end.label})),
        "ic3.11": first and f"first theft {first}; detected {moment(moments.detected_at) or '[not stated]'}",
        "ic3.12": stated.summary, "ic3.13": ", ".join(p for p in (who.organisation, who.person, who.email) if p),
    }  # fmt: skip
    return {number: answer for number, answer in found.items() if answer}
