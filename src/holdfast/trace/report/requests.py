"""Ready-written requests, one an addressee: freeze at an issuer, freeze and preservation at a service. Pure.

Nothing is invented: who is to be written to is the case's word (a label, a contract's issuer), and what only a person
knows stands in brackets.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass

from holdfast.trace.model import End, Step
from holdfast.trace.report.classes import DAY, ORDER_DAYS, Ask, Class, ask_of
from holdfast.trace.report.figures import classed
from holdfast.trace.report.material import Material
from holdfast.trace.report.writing import Pen, listed, moment, network_name, plural

ASKED = (Class.FREEZABLE, Class.DEPOSIT, Class.SWAPPER, Class.BRIDGE, Class.SERVICE)
COLUMNS = (
    "request", "end", "network", "address", "asset", "contract", "symbol", "decimals", "units_fifo", "units_haircut",
    "units_least", "units_most", "amount_fifo", "balance_units", "balance_height", "balance_source", "label",
    "label_source", "label_confidence", "last_transaction", "last_time", "steps",
)  # fmt: skip
BLANK = "[to be filled in by a person: {}]"


@dataclass(frozen=True, slots=True)
class Line:
    """One address in a request."""

    number: str
    """Of the end in the report: `N001`."""
    end: End
    steps: tuple[Step, ...]
    """What brought it there, in order."""


@dataclass(frozen=True, slots=True)
class Request:
    """One letter."""

    number: str
    """`R01`."""
    addressee: str
    kind: Class
    ask: Ask
    lines: tuple[Line, ...]

    @property
    def slug(self) -> str:
        """Its files' name."""
        plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in self.addressee.lower())
        return f"{self.number}-{'-'.join(part for part in plain.split('-') if part) or 'unnamed'}"


def requests_of(material: Material) -> tuple[Request, ...]:
    """All of the case, the most urgent first."""
    steps: dict[tuple[str, str, str], list[Step]] = defaultdict(list)
    for step in material.trace.steps:
        steps[step.transfer.network, step.transfer.target, step.transfer.asset].append(step)
    found: dict[tuple[Class, str], list[Line]] = {}
    asks: dict[tuple[Class, str], Ask] = {}
    for place, (end, kind) in enumerate(classed(material), start=1):
        ask = ask_of(end, kind, material.made_at)
        if kind in ASKED and ask.whom:
            line = Line(f"N{place:03d}", end, tuple(steps[end.network, end.address, end.asset]))
            found.setdefault((kind, ask.whom), []).append(line)
            asks.setdefault((kind, ask.whom), ask)
    return tuple(
        Request(f"R{place:02d}", whom, kind, asks[kind, whom], tuple(lines))
        for place, ((kind, whom), lines) in enumerate(found.items(), start=1)
    )


def table(request: Request, material: Material) -> str:
    """The request's addresses as CSV: exact units, one row an end."""
    pen, out = Pen(material.assets), io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for line in request.lines:
        end, label = line.end, line.end.label
        name, last = pen.asset(end.asset), line.steps[-1].transfer if line.steps else None
        balance = material.balances.get((end.network, end.address, end.asset))
        rows.writerow([
            request.number, line.number, end.network, end.address, end.asset, contract(end.asset), name.symbol,
            name.decimals, *(end.lies.get(policy, 0) for policy in ("fifo", "haircut", "least", "most")),
            pen.exact(end.asset, end.lies.get("fifo", 0)), balance.units if balance else "",
            balance.height if balance else "", balance.source if balance else "", label.name if label else "",
            label.source if label else "", label.confidence if label else "", last.transaction if last else "",
            moment(last.time) if last else "", " ".join(step.id for step in line.steps),
        ])  # fmt: skip
    return out.getvalue()


def contract(asset: str) -> str:
    """The token's contract in a CAIP-19 id; empty for a network's own coin."""
    space, _, reference = asset.partition("/")[2].partition(":")
    return reference if space not in ("slip44", "") else ""


def totals(request: Request, pen: Pen) -> str:
    """What the addressee has, by asset, as FIFO counts it."""
    sums: dict[str, int] = defaultdict(int)
    for line in request.lines:
        sums[line.end.asset] += line.end.lies.get("fifo", 0)
    return listed([pen.exact(asset, units) for asset, units in sums.items()])


def subject(request: Request, material: Material) -> str:
    """The letter's subject, with the case's number: desks refuse letters without one."""
    reference = material.statement.authority.reference or BLANK.format("police reference")
    verb = "Freeze request" if request.kind is Class.FREEZABLE else "Freeze and preservation request"
    verb = verb if request.kind in (Class.FREEZABLE, Class.DEPOSIT) else "Preservation and information request"
    return f"URGENT: {verb}, stolen crypto-assets, case {material.name}, police reference {reference}"


def paragraphs(request: Request, material: Material) -> list[str]:
    """The letter's text; the addresses follow it as a table."""
    pen, stated = Pen(material.assets), material.statement
    reporter = stated.reporter.organisation or BLANK.format("who reports")
    thefts = material.trace.thefts
    first = moment(min(theft.time for theft in thefts)) if thefts else BLANK.format("when")
    stolen: dict[str, int] = defaultdict(int)
    for theft in thefts:
        stolen[theft.asset] += theft.units
    amounts = listed([pen.exact(asset, units) for asset, units in stolen.items()])
    text = [
        f"To: {request.addressee}, compliance and law enforcement response. Address: {BLANK.format('its contact')}.",
        f"{reporter} reports the theft of {amounts} on {first}. The report to the police has the reference "
        f"{stated.authority.reference or BLANK.format('police reference')} at "
        f"{stated.authority.organisation or BLANK.format('authority')}, jurisdiction "
        f"{stated.authority.jurisdiction or BLANK.format('jurisdiction')}.",
        f"We followed it on chain to {plural(len(request.lines), 'address', 'addresses')} named below, with "
        f"{totals(request, pen)} by first in, first out; the table has the least and the most by other rules.",
        *_asked(request),
        f"Please act by {moment(request.ask.send_by + DAY)} at the latest and confirm in writing, with the state of "
        f"each address, by {moment(request.ask.answer_by)}. An order of the authority will follow; please hold until "
        f"then, at least until {moment(material.made_at + ORDER_DAYS * DAY)}.",
        "The labels of addresses are third parties' claims with their source beside them. Identifiers are text, "
        "copied by a program from nodes' replies; the same rows are in the CSV file of the same name. Please answer "
        f"to {_contact(material)}.",
    ]
    if any(line.end.label is None and request.kind is not Class.FREEZABLE for line in request.lines):
        text.append("If an address is not yours, please say so: it clears you, and we correct the trace.")
    return text


def _asked(request: Request) -> list[str]:
    if request.kind is Class.FREEZABLE:
        return [
            f"We ask {request.addressee} to freeze these addresses in the token contracts named in the table, "
            "beginning with the largest, and to name the way in which the tokens can be given back to their owner.",
        ]
    if request.kind is Class.DEPOSIT:
        return [
            f"We ask {request.addressee} (1) to freeze what was credited for these deposits and what was bought with "
            "it; (2) to keep, and not to delete in any routine, the accounts' identification (KYC) files, log-ins with "
            "addresses and devices, deposits, trades, payouts with their destinations, and messages; (3) to tell at "
            "once, through the authority, where it went if it has left; (4) not to tell the customer.",
        ]
    return [
        f"We ask {request.addressee} (1) to name, through the authority, what was paid out for these transactions: "
        "network, asset, amount, address and transaction; (2) to stop what has not been paid out; (3) to keep the "
        "orders' data, log-ins and messages.",
    ]


def _contact(material: Material) -> str:
    who = material.statement.reporter
    known = [part for part in (who.person, who.role, who.email, who.phone) if part]
    return ", ".join(known) or BLANK.format("name, telephone and e-mail of a person, under the organisation's domain")


def letter(request: Request, material: Material) -> str:
    """The whole letter as editable text."""
    pen = Pen(material.assets)
    lines = [f"Subject: {subject(request, material)}", f"Date: {moment(material.made_at)}", ""]
    for paragraph in paragraphs(request, material):
        lines += [paragraph, ""]
    for line in request.lines:
        end = line.end
        balance = material.balances.get((end.network, end.address, end.asset))
        lines.append(f"{line.number}  {network_name(end.network)} ({end.network})")
        lines.append(f"      address      {end.address}")
        if contract(end.asset):
            lines.append(f"      contract     {contract(end.asset)}")
        lines.append(f"      stolen there {pen.exact(end.asset, end.lies.get('fifo', 0))} (first in, first out)")
        stated = (
            f"{pen.exact(end.asset, balance.units)} at block {balance.height}, {balance.source}"
            if balance
            else BLANK.format("balance and block, from your own node")
        )
        lines.append(f"      balance      {stated}")
        lines += [
            f"      transaction  {step.transfer.transaction}  {moment(step.transfer.time)}  [{step.id}]"
            for step in line.steps
        ]
        lines.append("")
    return "\n".join(lines) + "Signed: ____________________   (name, role, date)\n"
