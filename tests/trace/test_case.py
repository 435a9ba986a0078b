"""A case's folder: written whole, read back as it was, and its evidence held against its hashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.trace.case import Case, CaseDocument, CaseExists, CaseMissing, CaseUnreadable, Theft, TraceMissing
from holdfast.trace.evidence import Evidence, EvidenceAltered, EvidenceGone, Exhibit
from holdfast.trace.follow.options import Decision, Options, Overrule
from holdfast.trace.model import End, EndKind, Reason, Step, Trace, Transfer

HUGE = 2**119 + 1
MOVED = Transfer("eip155:1", 5, 1, 7, "0x1", "a", "b", "eip155:1/slip44:60", HUGE)
DOCUMENT = CaseDocument(
    "june", 1_685_742_563, thefts=(Theft("eip155:1", transaction="0x1"),), sources=("file:a.csv",),
    options=Options(until=9, least={"eip155:1/slip44:60": HUGE}),
    overrules=(Overrule(Decision.LEAVE, "ada", 8, "it is our own", step="E0001"),),
)  # fmt: skip


def test_a_case_is_read_back_as_it_was_saved_integers_of_any_size_included(tmp_path: Path) -> None:
    case = Case.create(tmp_path / "case", DOCUMENT)
    trace = Trace(
        thefts=[MOVED], skipped={"malformed": 2}, stopped=["here"],
        steps=[Step("E0001", MOVED, 1, Reason.DIRECT, 90, {"fifo": HUGE}, why="it was sent")],
        ends=[End("eip155:1", "b", "eip155:1/slip44:60", EndKind.UNSPENT, {"fifo": HUGE})],
    )  # fmt: skip
    with pytest.raises(TraceMissing):
        case.trace()
    case.save_trace(trace)
    again = Case(tmp_path / "case")
    assert (again.document, again.trace(), again.has_trace) == (DOCUMENT, trace, True)
    again.save(CaseDocument("july", 1))
    assert Case(tmp_path / "case").document.name == "july"
    assert not list((tmp_path / "case").glob("*.new"))


def test_a_folder_that_is_no_case_or_one_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseMissing):
        Case(tmp_path)
    Case.create(tmp_path, DOCUMENT)
    assert Case.exists(tmp_path)
    with pytest.raises(CaseExists):
        Case.create(tmp_path, DOCUMENT)
    (tmp_path / "case.json").write_text('{"name": 3}')
    with pytest.raises(CaseUnreadable, match=r"case\.json"):
        Case(tmp_path)


def told(number: int = 1, source: str = "node") -> Exhibit:
    return Exhibit("", "", 0, source, f"getblock {number}", 77, "eip155:1", number, "0xabc")


def test_the_same_answer_is_kept_once_and_two_nodes_have_a_line_each(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    first = evidence.keep(b"block", told())
    assert evidence.keep(b"block", told()) == first
    other = evidence.keep(b"block", told(source="second"))
    assert other != first
    again = Evidence(tmp_path)
    assert list(again.exhibits) == [first, other]
    assert again.exhibits[first].sha256 == again.exhibits[other].sha256
    assert again.raw(first) == again.raw(other) == b"block"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_evidence_that_was_touched_is_found(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    kept, other = evidence.keep(b"block", told()), evidence.keep(b"more", told(2))
    path = tmp_path / evidence.exhibits[kept].sha256[:2] / evidence.exhibits[kept].sha256
    path.write_bytes(b"Block")
    assert evidence.altered() == [kept]
    with pytest.raises(EvidenceAltered):
        evidence.raw(kept)
    path.unlink()
    assert evidence.altered() == [kept]
    assert evidence.raw(other) == b"more"
    with pytest.raises(EvidenceGone):
        evidence.raw("V0")


def test_half_a_line_that_a_crash_left_is_no_line_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    kept = Evidence(tmp_path).keep(b"block", told())
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes() + b'{"id":"V12')
    evidence = Evidence(tmp_path)
    assert list(evidence.exhibits) == [kept]
    other = evidence.keep(b"more", told(2))
    assert list(Evidence(tmp_path).exhibits) == [kept, other]


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path) -> None:
    Evidence(tmp_path).keep(b"block", told())
    (tmp_path / "manifest.jsonl").write_text("nonsense\n")
    with pytest.raises(EvidenceAltered):
        Evidence(tmp_path)
