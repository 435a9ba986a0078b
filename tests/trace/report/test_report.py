"""The report of a case: the same bytes each time, nothing invented, and a second program that derives every figure."""

import ast
import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from fixtures_report import AT, COIN, EXCHANGE, HIS, THIEF, VICTIM
from holdfast.trace.case import Case
from holdfast.trace.report import verifier
from holdfast.trace.report.assembly import material_of
from holdfast.trace.report.bundle import MANIFEST, files_of, write
from holdfast.trace.report.forms import final_due, initial_due, intermediate_due
from holdfast.trace.report.material import Evidence
from holdfast.trace.report.mentions import MentionUnknown
from holdfast.trace.report.prices import read_prices
from holdfast.trace.report.requests import requests_of
from holdfast.trace.report.sections import Facts
from holdfast.trace.report.statement import Moments, Party, Statement
from holdfast.trace.report.timestamp import TimestampRefused, stamped

MADE = AT + 86_400
HOUR, DAY = 3_600, 86_400
Files = dict[str, bytes]


NOTHING = Statement()


def made(case: Case, statement: Statement = NOTHING) -> Files:
    prices = read_prices("asset,time,price\neip155:1/slip44:60,1690000000,1900.5\n", "USD")
    material = material_of(case, MADE, statement=statement, prices=prices)
    return files_of(material, case.evidence().raw, is_timestamped=False)


def resealed(files: Files, path: str, data: bytes) -> Files:
    """With one file changed by somebody who makes the manifest fit."""
    changed = {**files, path: data}
    manifest = json.loads(changed[MANIFEST])
    for one in manifest["files"]:
        if one["path"] == path:
            one |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**changed, MANIFEST: json.dumps(manifest).encode()}


def test_the_same_case_and_date_give_the_same_bytes(case: Case, tmp_path: Path) -> None:
    first, second = made(case), made(case)
    assert first == second
    assert write(tmp_path / "a", first).read_bytes() == write(tmp_path / "b", second).read_bytes()
    assert first["report.pdf"].startswith(b"%PDF-")
    assert {"flow.csv", "ends.csv", "trace.json", "transfers.jsonl", "custody.txt", "forms/ic3.pdf"} <= first.keys()


def test_a_report_that_is_made_again_leaves_nothing_of_the_one_before(case: Case, tmp_path: Path) -> None:
    files = made(case)
    write(tmp_path / "report", files)
    write(tmp_path / "report", {path: data for path, data in files.items() if not path.startswith("requests/")})
    assert not list((tmp_path / "report" / "requests").iterdir())


def test_the_summary_says_what_was_taken_and_where_it_is(case: Case) -> None:
    report = json.loads(made(case)["report.json"])
    assert len(report["summary"]) <= 10
    said = " ".join(report["summary"])
    assert "Taken: 10 ETH in 1 transfer" in said
    assert "worth 19,005.00 USD" in said
    assert "At exchanges and payment companies: 2 ETH at 1 address (Kraken)" in said, (
        "two of the four came from elsewhere"
    )
    assert report["figures"]["stolen/eip155:1/slip44:60"] == str(10 * COIN)


def test_a_request_has_addresses_and_exact_units_and_leaves_to_a_person_what_only_he_knows(case: Case) -> None:
    files = made(case)
    [letter] = [path for path in files if path.startswith("requests/") and path.endswith(".txt")]
    assert letter == "requests/R01-kraken.txt"
    text = files[letter].decode()
    assert EXCHANGE in text
    assert "[to be filled in by a person: police reference]" in text
    assert "KYC" in text
    [row] = csv.DictReader(io.StringIO(files[letter.replace(".txt", ".csv")].decode()))
    assert (row["address"], row["units_fifo"]) == (EXCHANGE, str(2 * COIN))
    assert files[letter.replace(".txt", ".pdf")].startswith(b"%PDF-")


def test_an_address_that_the_case_does_not_have_is_in_no_text(case: Case) -> None:
    slipped = Statement(summary=f"Please look at 0x{'9' * 40} too.")
    with pytest.raises(MentionUnknown, match="9999"):
        made(case, slipped)
    assert made(case, Statement(summary=f"He paid {HIS}."))


def test_the_second_program_derives_every_figure_and_follows_first_in_first_out_itself(case: Case) -> None:
    checked = verifier.verify(made(case))
    assert checked.faults == []
    assert checked.counts["fifo"] == len(case.trace().steps) == 3
    assert checked.counts["figure"] > 10


def test_it_shares_no_code_with_what_made_the_report() -> None:
    for node in ast.walk(ast.parse(Path(verifier.__file__).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), names


def test_it_runs_alone_on_any_machine(case: Case, tmp_path: Path) -> None:
    archive = write(tmp_path / "bundle", made(case))
    command = [sys.executable, "-I", verifier.__file__, str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own command
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 fifo compared" in done.stdout


@pytest.mark.parametrize("path", ["report.pdf", "trace.json", "requests/R01-kraken.txt", "labels.json"])
def test_a_changed_byte_is_named(case: Case, path: str) -> None:
    files = made(case)
    faults = verifier.verify({**files, path: files[path].replace(b"1", b"2", 1)}).faults
    assert any(fault.startswith(f"file {path}:") for fault in faults), faults


def test_a_file_that_is_missing_or_put_in_is_named(case: Case) -> None:
    files = made(case)
    assert (
        "file custody.txt: derived missing"
        in verifier.verify({k: v for k, v in files.items() if k != "custody.txt"}).faults[0]
    )
    assert "file more.txt: the manifest does not list it" in verifier.verify({**files, "more.txt": b""}).faults


def test_a_figure_that_was_changed_with_its_manifest_is_named(case: Case) -> None:
    files = made(case)
    report = json.loads(files["report.json"])
    report["figures"]["stolen/eip155:1/slip44:60"] = str(11 * COIN)
    [fault] = verifier.verify(resealed(files, "report.json", json.dumps(report).encode())).faults
    assert fault.startswith("figure stolen/eip155:1/slip44:60: derived 1000")


def test_a_step_that_carries_another_amount_than_it_can_is_named(case: Case) -> None:
    files = made(case)
    trace = json.loads(files["trace.json"])
    paid = next(step for step in trace["steps"] if step["transfer"]["target"] == EXCHANGE)
    paid["carried"]["fifo"] += 1
    faults = verifier.verify(resealed(files, "trace.json", json.dumps(trace).encode())).faults
    assert any(fault.startswith(f"fifo of step {paid['id']}") for fault in faults), faults


def test_an_end_that_vanished_breaks_conservation(case: Case) -> None:
    files = made(case)
    trace = json.loads(files["trace.json"])
    trace["ends"] = [end for end in trace["ends"] if end["address"] != THIEF]
    faults = verifier.verify(resealed(files, "trace.json", json.dumps(trace).encode())).faults
    assert any(fault.startswith("conservation of eip155:1/slip44:60 by fifo") for fault in faults), faults


@pytest.mark.parametrize(
    ("moments", "initial", "intermediate"),
    [
        (Moments(), 0, 0),
        (Moments(aware_at=AT), AT + DAY, AT + DAY + 72 * HOUR),
        (Moments(aware_at=AT, classified_at=AT + HOUR), AT + 5 * HOUR, AT + 77 * HOUR),
        (Moments(aware_at=AT, classified_at=AT + 23 * HOUR), AT + DAY, AT + DAY + 72 * HOUR),
        (Moments(aware_at=AT, initial_sent_at=AT + HOUR), AT + DAY, AT + 73 * HOUR),
    ],
)
def test_the_regulators_clocks_run_from_what_is_stated(moments: Moments, initial: int, intermediate: int) -> None:
    assert (initial_due(moments), intermediate_due(moments)) == (initial, intermediate)
    assert bool(final_due(moments)) == bool(intermediate)


def test_a_field_that_nobody_answered_is_a_persons_to_fill(case: Case) -> None:
    us = Statement(reporter=Party(organisation="Shop OÜ"), answers={"ic3.5": "by e-mail"})
    files = made(case, us)
    fields = {one["number"]: one for one in json.loads(files["forms/ic3.json"])["fields"]}
    assert fields["ic3.5"]["origin"] == "statement"
    assert "Shop OÜ" in fields["ic3.13"]["value"]
    assert fields["ic3.2"]["value"] == "10 ETH"
    assert any(one["origin"] == "person" and not one["value"] for one in fields.values())


def test_one_request_an_addressee(case: Case) -> None:
    [request] = requests_of(material_of(case, MADE))
    assert (request.addressee, len(request.lines)) == ("Kraken", 1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A time-stamp authority of our own: openssl behind a door on loopback; its URL and root."""
    home = tmp_path_factory.mktemp("tsa")
    openssl(home, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "root.pem",
            "-subj", "/CN=A test's authority", "-addext", "extendedKeyUsage=critical,timeStamping")  # fmt: skip
    (home / "serial").write_text("01\n")
    (home / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa=one\n[one]\nserial=serial\nsigner_cert=root.pem\nsigner_key=key.pem\nsigner_digest=sha256\n"
        "default_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1\ness_cert_id_chain=no\ncerts=root.pem\n"
    )

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (home / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            openssl(home, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
            self.send_response(200)
            self.end_headers()
            self.wfile.write((home / "reply").read_bytes())

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", home / "root.pem"
    server.shutdown()
    server.server_close()
    thread.join()


def openssl(home: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)  # noqa: S603, S607  the host's own program


def test_a_third_party_says_when_the_manifest_was_there(case: Case, authority: tuple[str, Path]) -> None:
    manifest = made(case)[MANIFEST]
    url, root = authority
    token = stamped(manifest, url, root)
    (root.parent / "token").write_bytes(token)
    (root.parent / "data").write_bytes(manifest)
    openssl(root.parent, "ts", "-verify", "-data", "data", "-in", "token", "-CAfile", "root.pem")
    (root.parent / "data").write_bytes(manifest + b" ")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(root.parent, "ts", "-verify", "-data", "data", "-in", "token", "-CAfile", "root.pem")


def test_a_server_that_gives_no_time_stamp_is_named(case: Case) -> None:
    with pytest.raises(TimestampRefused):
        stamped(b"manifest", "http://127.0.0.1:9/")
    assert "No third party has time-stamped" in json.loads(made(case)["report.json"])["timestamp"]


def test_who_was_robbed_is_in_the_report_and_his_case_reads_back(case: Case) -> None:
    report = json.loads(made(case)["report.json"])
    assert report["thefts"][0]["source"] == VICTIM
    assert msgspec.json.decode(made(case)["rules.json"])["stop_at_services"] is True


@pytest.mark.parametrize(
    ("sources", "grade"),
    [(("anvil node 1",), "B"), (("anvil node 1", "anvil node 2"), "A"), (("explorer:scan.example",), "C"),
     (("file:a.csv",), "F"), ((), "F")],
)  # fmt: skip
def test_a_source_is_graded_by_who_answered(case: Case, sources: tuple[str, ...], grade: str) -> None:
    evidence = tuple(Evidence(f"V{at}", "aa", name, "block 1", AT) for at, name in enumerate(sources))
    assert Facts(replace(material_of(case, MADE), evidence=evidence)).reliability("V0") == grade
