"""What drills have shown, as a table in the terminal, as JSON, and as a page with a timeline for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from holdfast.drill.playing import Verdict

COLUMNS = (
    "drill",
    "merchants lose",
    "company loses",
    "redirected",
    "bound",
    "frozen in",
    "invoices",
    "restored",
    "held",
)
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}.no{color:#b00020;font-weight:600}
.yes{color:#0a7a32}details{margin:1rem 0}summary{cursor:pointer;font-weight:600}code{font-size:13px}"""


def table(verdicts: Sequence[Verdict]) -> str:
    """The table, amounts in euros."""
    rows = [COLUMNS, *(_row(one) for one in verdicts)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for one in verdicts:
        lines += [f"  {one.name}: FAILED: {failure}" for failure in one.failures]
        lines += [f"  {one.name}: {note}" for note in one.notes]
    return "\n".join(lines)


def facts(verdicts: Sequence[Verdict]) -> dict[str, object]:
    """For `--json`."""
    return {"held": all(one.is_held for one in verdicts), "drills": [one.facts() for one in verdicts]}


def page(verdicts: Sequence[Verdict]) -> str:
    """One page that needs nothing from outside of it."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in _row(one))}</tr>" for one in verdicts)
    parts = "".join(_timeline(one) for one in verdicts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Drills</title><style>{_STYLE}</style>"
        f"<h1>Drills</h1><p>Amounts in euros, measured from the chains.</p>"
        f"<table><tr>{head}</tr>{body}</table>{parts}</html>\n"
    )


def _row(one: Verdict) -> tuple[str, ...]:
    told = one.facts()
    amounts = tuple(str(told[name]) for name in ("merchant_loss", "company_loss", "redirected_inflow", "bound"))
    invoices = f"{one.invoices_accepted_during}"
    return (one.name, *amounts, _seconds(one.seconds_to_freeze), invoices, _seconds(one.restored_seconds),
            "yes" if one.is_held else "NO")  # fmt: skip


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _cell(text: str) -> str:
    kind = {"yes": " class=yes", "NO": " class=no"}.get(text, " class=n" if text[:1].isdigit() else "")
    return f"<td{kind}>{escape(text)}</td>"


def _timeline(one: Verdict) -> str:
    started = one.events[0].at_ms if one.events else 0
    rows = "".join(
        f"<tr><td class=n>{(event.at_ms - started) / 1000:.2f} s</td><td>{escape(event.who[:16])}</td>"
        f"<td>{escape(event.what)}</td></tr>"
        for event in sorted(one.events, key=lambda each: each.at_ms)
    )
    said = "".join(f"<li>{escape(text)}</li>" for text in (*one.failures, *one.notes))
    at = datetime.fromtimestamp(started / 1000, UTC).isoformat(timespec="seconds")
    return (
        f"<details><summary>{escape(one.name)}: {escape(one.title)}</summary>"
        f"<p>The attacker owns: {escape(', '.join(one.owns))}. Begun {at}, seed <code>{one.seed}</code>.</p>"
        f"<ul>{said}</ul><table>{rows}</table></details>"
    )
