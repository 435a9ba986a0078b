"""The files of a report: pages, requests, forms, data, raw replies, and a manifest with the SHA-256 of every one.

The same material and date give the same bytes. What identifies anything in a text is held against the case first, so
that nothing is in a letter that the case does not have.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from holdfast.trace.report.compose import compose
from holdfast.trace.report.figures import classed
from holdfast.trace.report.forms import Form, forms_of, text as form_text
from holdfast.trace.report.material import Material
from holdfast.trace.report.mentions import check, known
from holdfast.trace.report.pages import pdf
from holdfast.trace.report.requests import Request, letter, paragraphs, requests_of, subject, table
from holdfast.trace.report.sections import POLICIES
from holdfast.trace.report.writing import Pen, moment, network_name

MANIFEST, TOKEN = "manifest.json", "manifest.tsr"
LETTER_STEPS_MAX = 12
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can tell: the same for all, so that the same case gives the same bytes."""


class Listed(msgspec.Struct, frozen=True):
    """One file of the manifest."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The whole of `manifest.json`."""

    format: str
    case: str
    made_at: int
    software: str
    files: tuple[Listed, ...]


def files_of(material: Material, raw: Callable[[str], bytes], *, is_timestamped: bool) -> dict[str, bytes]:
    """All files by path, the manifest last. `raw`: the bytes of a piece of evidence by its id.

    Raises `MentionUnknown` where a text names what the case does not have, `PagesNotMade`, and what `raw` raises.
    """
    requests, forms = requests_of(material), forms_of(material)
    said = {
        "timestamp": "manifest.tsr is a time-stamp of the manifest by a third party (RFC 3161)." if is_timestamped
        else "No third party has time-stamped the manifest: no server was named.",
        "forms": [{"title": one.title, "due": moment(one.due_at), "clock": one.clock, "open": len(one.open)}
                  for one in forms],
    }  # fmt: skip
    document = compose(material, requests, said)
    found: dict[str, bytes] = {"report.json": _json(document)}
    found |= _data(material)
    found |= {f"evidence/{one.id}": raw(one.id) for one in material.evidence}
    found |= dict(material.annexes)
    found |= {f"pictures/{name}.svg": picture for name, picture in material.pictures.items()}
    texts: list[tuple[str, str]] = [("report.json", found["report.json"].decode())]
    for request in requests:
        words, rows = letter(request, material), table(request, material)
        texts += [(f"{request.slug}.txt", words), (f"{request.slug}.csv", rows)]
        path = f"requests/{request.slug}"
        found |= {f"{path}.txt": words.encode(), f"{path}.csv": rows.encode()}
        found[f"{path}.pdf"] = pdf("letter.typ", _letter(request, material), material.made_at)
    for form in forms:
        words = form_text(form, material)
        texts.append((form.name, words))
        found |= {f"forms/{form.name}.txt": words.encode(), f"forms/{form.name}.json": _json(form)}
        found[f"forms/{form.name}.pdf"] = pdf("form.typ", _form(form, material), material.made_at)
    check(texts, _known(material))
    found["report.pdf"] = pdf("report.typ", document, material.made_at, material.pictures)
    found["custody.txt"] = _custody(material).encode()
    return {**found, MANIFEST: _json(_manifest(material, found))}


def write(directory: Path, found: Mapping[str, bytes]) -> Path:
    """Write the files below a directory, and all of them as one zip file beside it; that one's path.

    What an earlier report left there by its manifest, and this one does not have, is taken away.
    """
    before = directory / MANIFEST
    if before.is_file():
        listed = msgspec.json.decode(before.read_bytes(), type=Manifest).files
        for path in {*(one.path for one in listed), TOKEN} - set(found):
            if ".." not in Path(path).parts and not Path(path).is_absolute():
                (directory / path).unlink(missing_ok=True)
    for path, data in found.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    archive = directory.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(found):
            packed.writestr(zipfile.ZipInfo(path, _EPOCH), found[path], zipfile.ZIP_DEFLATED)
    return archive


def _manifest(material: Material, found: Mapping[str, bytes]) -> Manifest:
    made = f"{material.software.name} {material.software.version} {material.software.sha256}"
    listed = [Listed(path, len(data), sha256(data).hexdigest()) for path, data in sorted(found.items())]
    return Manifest("holdfast bundle 1", material.name, material.made_at, made, tuple(listed))


def _data(material: Material) -> dict[str, bytes]:
    """What a second program starts from."""
    lines = (msgspec.json.encode(one) for one in material.transfers)
    return {
        "transfers.jsonl": b"\n".join(lines) + b"\n",
        "trace.json": _json(material.trace),
        "labels.json": _json(material.labels),
        "assets.json": _json(list(material.assets.values())),
        "prices.json": _json({"currency": material.prices.currency, "by_asset": material.prices.by_asset}),
        "rules.json": _json(material.rules),
        "statement.json": _json(material.statement),
        "evidence.json": _json(material.evidence),
        "flow.csv": _flow(material).encode(),
        "ends.csv": _ends(material).encode(),
    }


def _flow(material: Material) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("step", "hop", "network", "height", "time", "transaction", "source", "target", "asset", "units",
                   *POLICIES, "reason", "confidence", "of", "evidence", "why"))  # fmt: skip
    for step in material.trace.steps:
        one = step.transfer
        rows.writerow((step.id, step.hop, one.network, one.height, one.time, one.transaction, one.source, one.target,
                       one.asset, one.units, *(step.carried.get(policy, 0) for policy in POLICIES), step.reason.value,
                       step.confidence, step.of, one.evidence, step.why))  # fmt: skip
    return out.getvalue()


def _ends(material: Material) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("end", "class", "kind", "network", "address", "asset", *POLICIES, "label", "label_source", "why"))
    for place, (end, kind) in enumerate(classed(material), start=1):
        rows.writerow((f"N{place:03d}", kind.value, end.kind.value, end.network, end.address, end.asset,
                       *(end.lies.get(policy, 0) for policy in POLICIES), end.label.name if end.label else "",
                       end.label.source if end.label else "", end.detail))  # fmt: skip
    return out.getvalue()


def _letter(request: Request, material: Material) -> dict[str, object]:
    pen, who = Pen(material.assets), material.statement.reporter
    rows = []
    for line in request.lines:
        end, label = line.end, line.end.label
        balance = material.balances.get((end.network, end.address, end.asset))
        rows.append({
            "id": line.number, "address": end.address, "network": network_name(end.network),
            "network_id": end.network, "contract": _contract(end.asset),
            "amount": pen.exact(end.asset, end.lies.get("fifo", 0)),
            **{policy: pen.short(end.asset, end.lies.get(policy, 0)) for policy in ("least", "most")},
            "balance": f"{pen.exact(end.asset, balance.units)} at block {balance.height:,}" if balance else "",
            "label": label.name if label else "", "label_source": label.source if label else "",
            "steps": [{"id": step.id, "transaction": step.transfer.transaction, "time": moment(step.transfer.time)}
                      for step in line.steps[:LETTER_STEPS_MAX]],
            "more": max(0, len(line.steps) - LETTER_STEPS_MAX),
        })  # fmt: skip
    return {
        "case": material.name, "made": moment(material.made_at), "number": request.number,
        "reporter": who.organisation, "reporter_address": who.address, "subject": subject(request, material),
        "paragraphs": paragraphs(request, material), "lines": rows,
    }  # fmt: skip


def _contract(asset: str) -> str:
    space, _, reference = asset.partition("/")[2].partition(":")
    return reference if space not in ("slip44", "") else ""


def _form(form: Form, material: Material) -> dict[str, object]:
    return {
        "case": material.name, "made": moment(material.made_at), "title": form.title, "due": moment(form.due_at),
        "clock": form.clock, "open": len(form.open),
        "fields": [{"number": one.number, "name": one.name, "value": one.value, "origin": one.origin}
                   for one in form.fields],
    }  # fmt: skip


def _custody(material: Material) -> str:
    """Who took what when, in the words of ISO/IEC 27037: identified, collected, acquired, preserved."""
    lines = [
        f"Chain of custody of case {material.name}", "",
        "Identified and acquired: each raw reply with its source, request, time (UTC) and SHA-256.",
        "Preserved: the bytes as they came, under evidence/, listed in manifest.json.", "",
    ]  # fmt: skip
    lines += [
        f"{moment(one.time)}  {one.id}  {one.source}  {one.request}  block {one.height} {one.hash}  SHA-256 "
        f"{one.sha256}"
        for one in material.evidence
    ] or ["No raw reply was acquired: what this case rests on was handed over as files."]
    keeper = material.statement.custodian or "[to be filled in by a person: name and role]"
    lines += ["", f"{moment(material.made_at)}  collected into this bundle by {material.software.name} "
              f"{material.software.version}", f"Kept by: {keeper}", ""]  # fmt: skip
    return "\n".join(lines)


def _known(material: Material) -> set[str]:
    further = [one.sha256 for one in material.evidence] + [one.hash for one in material.evidence]
    further += [material.software.sha256]
    stated = (material.statement.frozen, material.balances)
    further += [one.address for one in stated[0]]
    for link in material.links:  # addresses of other incidents are the comparison's word, which is an annex
        further += [word.strip(".,;:()") for text in (*link.facts, *link.alternatives) for word in text.split()]
    return known(material.trace, material.transfers, material.labels, further)


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


def requests_told(requests: Sequence[Request]) -> list[dict[str, object]]:
    """For the command line: to whom what was written."""
    return [{"number": one.number, "to": one.addressee, "class": one.kind.value, "addresses": len(one.lines),
             "files": f"requests/{one.slug}"} for one in requests]  # fmt: skip
