"""`holdfast merchant payout`: a shop without code orders money out with its own key, from its own machine."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import psycopg
import pytest

from fixtures_cli import Done, holdfast_here as holdfast
from fixtures_faces import ANVIL, LITECOIN, USDT, Served, certificate_of, own_database, serve
from fixtures_payouts import payee
from holdfast.core.intents import Payout, read_intent
from holdfast.payments.api_keys import MERCHANT_SCOPES

ETH = f"{ANVIL}/slip44:1"
RLTC = f"{LITECOIN}/slip44:1"
ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
PASSPHRASE = "correct horse battery staple"


@dataclass
class Books:
    """A shop with its directory, on a machine of its own."""

    served: Served
    directory: Path
    merchant: str
    api_key: str
    url: str

    def run(self, *words: str | Path, shop: Path | None = None) -> Done:
        """One of its commands."""
        return holdfast("merchant", *words, "--shop", shop or self.directory)

    def pay(self, *words: str | Path, asset: str = ETH, shop: Path | None = None) -> Done:
        """Order a payout, without being asked."""
        unlocked = ("--passphrase-file", self.directory / "passphrase", "--yes", "--json")
        return self.run("payout", "--asset", asset, *words, *unlocked, shop=shop)

    def payouts(self) -> list[dict[str, Any]]:
        """What the platform has, newest first."""
        answer = self.served.call("GET", "/v1/payouts?limit=200", key=self.api_key)
        return list(answer.raise_for_status().json()["items"])

    def signed(self) -> list[Payout]:
        """What was ever signed here."""
        file = self.directory / "signed.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        intents = [read_intent(json.loads(line)["document"].encode()) for line in lines]
        return [one for one in intents if isinstance(one, Payout)]


@pytest.fixture(scope="module")
def books(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Enrolled step by step: its keys made by itself, certified by the officers, its API key handed over."""
    directory = tmp_path_factory.mktemp("books")
    (directory / "passphrase").touch(mode=0o600)
    (directory / "passphrase").write_text(PASSPHRASE)
    with own_database(server) as url, serve(tmp_path_factory.mktemp("platform"), url) as served:
        made = holdfast("merchant", "keys", "books", "--out", directory, "--passphrase-file", directory / "passphrase",
                        "--json")  # fmt: skip
        assert made.code == 0, made.err
        keys = json.loads(made.out)
        assert keys["fingerprint"] not in (keys["key"], keys["recovery_key"])
        wanted = {"name": "Corner Books", "key": keys["key"], "recovery_key": keys["recovery_key"]}
        merchant = served.call("POST", "/v1/merchants", wanted).raise_for_status().json()
        handed_in = certificate_of(served.officers, msgspec.convert(merchant["request"], bytes, strict=False))
        served.call("PUT", f"/v1/merchants/{merchant['id']}/certificate", handed_in).raise_for_status()
        key = served.call(
            "POST", "/v1/api-keys",
            {"name": "shop", "scopes": sorted(MERCHANT_SCOPES), "expires_at": "2026-12-31T00:00:00Z"},
            Holdfast_Merchant=merchant["id"],
        ).raise_for_status().json()["secret"]  # fmt: skip
        (directory / "given.key").touch(mode=0o600)
        (directory / "given.key").write_text(key)
        quorum = msgspec.json.decode(served.settings.quorum_file.read_bytes())
        assert len(quorum["officers"]) == 3
        pinned = holdfast(
            "merchant", "pin", merchant["id"], "--root-fingerprint", _fingerprint(served), "--api", served.url,
            "--api-key-file", directory / "given.key", "--out", directory,
        )  # fmt: skip
        assert pinned.code == 0, pinned.err
        for asset in (ETH, USDT):
            _fund(url, merchant["id"], asset, 10**19)
        yield Books(served, directory, merchant["id"], key, url)


def _fingerprint(served: Served) -> str:
    from holdfast.core.quorum import fingerprint

    return fingerprint(served.settings.quorum_file.read_bytes())


_WORDS = (["x"], ["x"])
"""What a transfer is about, and its kind."""


def _fund(url: str, merchant: str, asset: str, units: int) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(
            "SELECT * FROM ledger.post(%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                [token_hex(8)],
                ["posted"],
                [f"vault {asset} "],
                [f"merchant {asset} {merchant}"],
                [units],
                [None],
                ["x"],
                ["x"],
            ),
        )


def test_one_payout_is_shown_signed_and_handed_in(books: Books) -> None:
    address = payee()
    done = books.pay("--to", address, "--amount", "0.25", "--reference", "order 1")
    assert done.code == 0, done.err
    [payout] = json.loads(done.out)
    assert (payout["state"], payout["lines_units"], payout["reference"]) == ("reserved", str(10**18 // 4), "order 1")
    assert f"0.250000000000000000 to {address}" in done.err
    assert "a fee of 0.000000000000000000" in done.err
    assert PASSPHRASE not in done.err + done.out


def test_the_same_reference_is_the_same_payout_and_never_another(books: Books) -> None:
    address = payee()
    first, again = (books.pay("--to", address, "--amount", "0.1", "--reference", "order 2") for _ in range(2))
    assert json.loads(first.out)[0]["id"] == json.loads(again.out)[0]["id"]
    other = books.pay("--to", address, "--amount", "0.2", "--reference", "order 2")
    assert other.code == 6
    assert "reference-used" in other.err
    assert [one.reference for one in books.signed()].count("order 2") == 1


def test_nothing_is_signed_before_a_person_has_said_yes(books: Books) -> None:
    before = len(books.signed())
    asked = books.run("payout", "--asset", ETH, "--to", payee(), "--amount", "1",
                      "--passphrase-file", books.directory / "passphrase")  # fmt: skip
    assert asked.code != 0
    assert "Sign this?" in asked.err
    assert len(books.signed()) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--to", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaEd", "--amount", "1"), "checksum"),
        (("--amount", "1"), "payout-unclear"),
        (("--to", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "--amount", "1,5"), "amount-malformed"),
        (
            ("--to", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "--amount", "0.0000000000000000001"),
            "amount-too-precise",
        ),
    ],
)
def test_what_cannot_be_paid_is_named_before_anything_is_signed(
    books: Books, words: tuple[str, ...], code: str
) -> None:
    before = len(books.signed())
    refused = books.pay(*words)
    assert refused.code == 3, refused.err
    assert code in refused.out
    assert len(books.signed()) == before


def test_a_tokens_decimals_are_the_merchants_to_say(books: Books) -> None:
    address = payee()
    unknown = books.pay("--to", address, "--amount", "1.5", asset=USDT)
    assert unknown.code == 3
    assert "decimals-unknown" in unknown.out
    done = books.pay("--to", address, "--amount", "1.5", "--decimals", "6", asset=USDT)
    assert json.loads(done.out)[0]["lines_units"] == "1500000"


def test_a_list_is_paid_once_however_often_it_is_handed_in(books: Books, tmp_path: Path) -> None:
    rows = [f"{payee()},0.00{place}" for place in range(1, 8)]
    (tmp_path / "list.csv").write_text("\ufeffdestination,amount\n" + "\n".join(rows) + "\n")
    first, again = (books.pay("--csv", tmp_path / "list.csv") for _ in range(2))
    assert first.code == 0, first.err
    [payout] = json.loads(first.out)
    assert [line["units"] for line in payout["lines"]] == [str(place * 10**15) for place in range(1, 8)]
    assert json.loads(again.out)[0]["id"] == payout["id"]


def test_every_bad_row_of_a_list_is_named_and_none_is_paid(books: Books, tmp_path: Path) -> None:
    good = payee()
    (tmp_path / "list.csv").write_text(
        f"destination;amount;reference\n{good};1;a\n{good[:-1]};1;b\n{good};1,5;c\n;1;d\n{good};0;e\n{good};1;\n"
    )
    before = len(books.payouts())
    refused = books.pay("--csv", tmp_path / "list.csv")
    assert refused.code == 3
    for told in ("row 3, destination", "row 4, amount", "row 5, destination", "row 6, amount: is zero",
                 "row 7, reference: is empty"):  # fmt: skip
        assert told in refused.err, told
    assert "row 2" not in refused.err
    assert len(books.payouts()) == before


def test_rows_with_one_reference_are_one_payout(books: Books, tmp_path: Path) -> None:
    rows = [(payee(), "0.1", "anna"), (payee(), "0.2", "bert"), (payee(), "0.3", "anna")]
    (tmp_path / "list.csv").write_text(
        "reference\tdestination\tamount\n" + "".join(f"{r}\t{d}\t{a}\n" for d, a, r in rows)
    )
    done = books.pay("--csv", tmp_path / "list.csv")
    assert {one["reference"]: len(one["lines"]) for one in json.loads(done.out)} == {"anna": 2, "bert": 1}


def test_an_offline_machine_signs_and_another_hands_in(books: Books, tmp_path: Path) -> None:
    offline = tmp_path / "offline"
    offline.mkdir()
    shutil.copy(books.directory / "merchant.keystore", offline / "merchant.keystore")
    facts = json.loads((books.directory / "shop.json").read_text())
    (offline / "shop.json").write_text(json.dumps({**facts, "api": "http://127.0.0.1:9"}))
    before = len(books.payouts())
    file = tmp_path / "signed.json"
    signed = books.pay("--to", payee(), "--amount", "0.5", "--reference", "cold", "--out", file, shop=offline)
    assert signed.code == 0, signed.err
    assert len(books.payouts()) == before
    for _ in range(2):
        done = books.run("submit", file, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)[0]["intent"] == json.loads(signed.out)["signed"][0]
    assert len(books.payouts()) == before + 1
    file.write_text(file.read_text().replace("5000000", "6000000"))
    changed = books.run("submit", file, "--json")
    assert changed.code == 6
    assert "intent-unsigned" in changed.out


EMPTY = '{"holdfast_signed_intents":%d,"signed":[]}'
NO_INTENT = '{"holdfast_signed_intents":1,"signed":[{"document":"{}","signature":""}]}'


@pytest.mark.parametrize("text", ["", "{}", EMPTY % 2, EMPTY % 1, NO_INTENT])
def test_a_file_of_something_else_is_not_handed_in(books: Books, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    refused = books.run("submit", tmp_path / "x.json")
    assert refused.code == 3
    assert "signed-file-malformed" in refused.err


def test_what_the_balance_does_not_cover_is_told_and_ends_with_a_code(books: Books) -> None:
    refused = books.pay("--to", payee(), "--amount", "1000")
    assert refused.code == 6
    assert "balance-too-low" in refused.err


def test_a_standing_order_is_signed_once(books: Books) -> None:
    words = (
        "standing-order", "--asset", ETH, "--to", payee(), "--amount", "1", "--every", "hour", "--until", "2027-06-30",
        "--reference", "rent", "--passphrase-file", books.directory / "passphrase", "--yes", "--json",
    )  # fmt: skip
    first, again = books.run(*words), books.run(*words)
    assert first.code == 0, first.err
    [order] = json.loads(first.out)
    assert (order["state"], order["every_seconds"], order["units"]) == ("active", 3600, str(10**18))
    assert json.loads(again.out)[0]["id"] == order["id"]


def test_payouts_are_listed(books: Books) -> None:
    books.pay("--to", payee(), "--amount", "0.01", "--reference", "listed")
    assert "listed" in books.run("payouts").out.splitlines()[0]


def test_a_platform_that_shows_another_certificate_gets_no_signature(books: Books, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    shutil.copytree(books.directory, stranger)
    facts = json.loads((stranger / "shop.json").read_text())
    (stranger / "shop.json").write_text(json.dumps({**facts, "root_fingerprint": "ab" * 32}))
    before = len(books.signed())
    refused = books.run("payout", "--asset", ETH, "--to", payee(), "--amount", "1", "--yes",
                        "--passphrase-file", stranger / "passphrase", shop=stranger)  # fmt: skip
    assert refused.code == 3
    assert "quorum-not-trusted" in refused.err
    assert len(books.signed()) == before


def test_a_directory_that_is_no_shops_is_said_so(tmp_path: Path) -> None:
    refused = holdfast("merchant", "payouts", "--shop", tmp_path)
    assert refused.code == 4
    assert "shop-unknown" in refused.err
