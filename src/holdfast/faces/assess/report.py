"""The report in each form: for a terminal, as facts for JSON, as Markdown, as one page of HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from holdfast.faces.assess.assessing import Assessment
from holdfast.faces.assess.holdings import coverage
from holdfast.faces.assess.severities import Severity
from holdfast.faces.assess.standards import Outcome

TIME = "%Y-%m-%d %H:%M UTC"
Row = Sequence[object]


def facts(one: Assessment) -> dict[str, object]:
    """The whole report as values for JSON."""
    return {
        "at": one.at.isoformat(),
        "last_at": one.last_at and one.last_at.isoformat(),
        "ok": not one.is_failing,
        "counts": counts(one),
        "findings": [
            {"id": f.id, "kind": f.kind, "subject": f.subject, "severity": f.severity.value, "what": f.what,
             "why": f.why, "mend": f.mend}
            for f in one.findings
        ],
        "holdings": [
            {"holder": h.holder, "holds": h.holds, "allows": h.allows, "guard": h.guard, "factors": h.factors,
             "age_days": h.age_days, "until": h.until}
            for h in one.holdings
        ],
        "factors": coverage(one.holdings),
        "loss_bounds": {
            "seconds": one.seconds,
            "components": [
                {"owns": e.owns, "merchants": e.merchants, "company": e.company, "payments_in": e.payments_in,
                 "seen_by": e.seen_by}
                for e in one.exposures
            ],
        },
        "standards": [
            {"standard": r.item.standard, "number": r.item.number, "sentence": r.item.sentence, "how": r.item.how,
             "outcome": r.outcome.value, "because": r.because}
            for r in one.standards
        ],
    }  # fmt: skip


def counts(one: Assessment) -> dict[str, int]:
    """Findings by severity."""
    return {severity.value: sum(f.severity is severity for f in one.findings) for severity in Severity}


def text(one: Assessment) -> str:
    """For a terminal: findings worst first, then the tables that people decide by."""
    lines = [f"Risk assessment of {one.at:{TIME}}" + (f"; the last was {one.last_at:{TIME}}" if one.last_at else "")]
    for severity in Severity:
        found = [f for f in one.findings if f.severity is severity]
        if found:
            lines += ["", f"{severity.value.upper()} ({len(found)})"]
        for f in found:
            lines += [f"  {f.what}  [{f.kind}]", f"      {f.why}", f"      → {f.mend}"]
    lines += ["", f"Lost at most, if payouts are frozen {one.seconds} seconds after the first theft:"]
    for e in one.exposures:
        lines += [f"  {e.owns}", f"      merchants: {e.merchants}; company: {e.company}"]
    lines += ["", *_standards_text(one), "", _factors(one), f"{len(one.findings)} findings: {_count_words(one)}"]
    return "\n".join(lines)


def _standards_text(one: Assessment) -> Iterator[str]:
    for name in dict.fromkeys(r.item.standard for r in one.standards):
        came_out = Counter(r.outcome for r in one.standards if r.item.standard == name)
        yield f"{name}: " + ", ".join(
            f"{came_out[outcome]} {outcome.value}" for outcome in Outcome if came_out[outcome]
        )
        for r in one.standards:
            if r.item.standard == name and r.outcome is Outcome.FAIL:
                yield f"  {r.item.number} {r.item.sentence} — {r.because}"


def _factors(one: Assessment) -> str:
    known = coverage(one.holdings)
    return (
        f"{len(one.holdings)} keys and grants: {known['several']} need more than one factor, {known['one']} need one, "
        f"of {known['unknown']} it is not known here (they are held elsewhere)."
    )


def _count_words(one: Assessment) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts(one).items() if count) or "none"


def tables(one: Assessment) -> Iterator[tuple[str, Row, list[Row]]]:
    """What both written forms show: a title, the heads, the rows."""
    yield (
        "Findings",
        ("severity", "what", "why it matters", "mend", "id"),
        [(f.severity.value, f.what, f.why, f.mend, f.id) for f in one.findings],
    )
    yield (
        f"Lost at most, frozen {one.seconds} seconds after the first theft",
        ("the attacker owns", "merchants lose", "company loses at most", "payments in", "who sees it"),
        [(e.owns, e.merchants, e.company, e.payments_in, e.seen_by) for e in one.exposures],
    )
    yield (
        "Who holds what",
        ("holder", "key or grant", "allows", "guarded by", "factors", "age, days", "until"),
        [(h.holder, h.holds, h.allows, h.guard, _or(h.factors), _or(h.age_days), h.until) for h in one.holdings],
    )
    for name in dict.fromkeys(r.item.standard for r in one.standards):
        yield (
            f"{name}: a named part",
            ("item", "in our words", "how it is checked", "outcome", "because"),
            [
                (r.item.number, r.item.sentence, r.item.how, r.outcome.value, r.because)
                for r in one.standards
                if r.item.standard == name
            ],
        )


def _or(value: int | None) -> str:
    return "not known here" if value is None else str(value)


def markdown(one: Assessment) -> str:
    """A page for a repository or a mail."""
    parts = [f"# Risk assessment, {one.at:{TIME}}", "", f"{_count_words(one)}. {_factors(one)}"]
    for title, heads, rows in tables(one):
        parts += ["", f"## {title}", "", _line(heads), _line(["---"] * len(heads)), *(_line(row) for row in rows)]
    return "\n".join(parts) + "\n"


def _line(cells: Row) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def page(one: Assessment) -> str:
    """A page of HTML: no script, nothing from elsewhere."""
    body = [f"<h1>Risk assessment, {escape(one.at.strftime(TIME))}</h1>", f"<p>{escape(_count_words(one))}. "]
    body.append(f"{escape(_factors(one))}</p>")
    for title, heads, rows in tables(one):
        head = "".join(f"<th>{escape(str(cell))}</th>" for cell in heads)
        inner = "".join(_html_row(row) for row in rows)
        body.append(f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{inner}</tbody></table>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Risk assessment</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _html_row(row: Row) -> str:
    cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
    word = str(row[0])
    return f'<tr class="{escape(word)}">{cells}</tr>' if word in set(Severity) else f"<tr>{cells}</tr>"


STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #ccc;padding:.35rem .5rem;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}.critical td:first-child{background:#b00020;color:#fff}"
    ".high td:first-child{background:#e65100;color:#fff}.medium td:first-child{background:#ffd54f}"
)
