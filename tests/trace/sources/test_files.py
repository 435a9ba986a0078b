"""Transfers from files: what is read, exactly, and what is refused, with its reason. On real files where they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from fixtures_real_data import RealData
from holdfast.core.evm import parse_address
from holdfast.core.money import format_units, parse_units
from holdfast.trace.evidence import Evidence
from holdfast.trace.model import Movement
from holdfast.trace.sources import files as files_module
from holdfast.trace.sources.amounts import AmountUnreadable, read_amount, read_time
from holdfast.trace.sources.files import FileSource
from holdfast.trace.sources.mapping import ColumnsUnknown, FileMapping, MappingMalformed, read_mapping
from holdfast.trace.sources.port import LeftOut, Noticed, Wanted
from holdfast.trace.sources.pull import pull
from holdfast.trace.store import Store

ETHER = "eip155:1/slip44:60"
ALICE, BOB = "0x" + "a1" * 20, "0x" + "b2" * 20
DISGUISED = "U\u0405D\u0422"
"""Two of its letters are Cyrillic."""
PAYER = "0x0000000000000000000000000000000000c0ffee"


def sums(store: Store) -> dict[str, int]:
    """By asset: what all stored transfers moved."""
    total: Counter[str] = Counter()
    for network in store.networks:
        names = {name for file in store.files for name in pq.read_table(file)["source"].to_pylist()}
        for each in store.leaving(network, names):
            total[each.asset] += each.units
    return dict(total)


async def stored(path: Path, directory: Path, mapping: FileMapping = FileMapping()) -> Store:  # noqa: B008  a frozen value
    store = Store(directory)
    await pull(FileSource(path, mapping), Wanted(), store)
    return store


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def store_address(text: str) -> str:
    """As the store has it."""
    return parse_address(text)


# --- real files


async def test_fake_tokens_of_a_real_theft_are_refused_and_its_sums_are_exact(
    tmp_path: Path, real_data: RealData
) -> None:
    """The file leaves out who paid, so the mapping says it. Nothing else is told about this file."""
    hop = real_data.part("bybit-poisoning", "hop2.csv")
    store = await stored(hop, tmp_path, FileMapping(constants={"source": PAYER}))
    tokens = "eip155:1/erc20:"
    assert sums(store) == {
        tokens + "0xae7ab96520de3a18e5e111b5eaab095312d7fe84": parse_units("90375.54791768", 18),
        tokens + "0xd5f7838f5c461feff7fe49ea5ebaf7728bb0adfa": 8_000 * 10**18,
        ETHER: parse_units("98048.8948", 18),
    }
    assert store.left_out[LeftOut.IMITATION] == 11
    assert store.left_out == {LeftOut.IMITATION: 11, LeftOut.NOTHING: 16}
    assert len(store) == 43 - 11 - 16


async def test_a_real_file_of_values_keeps_every_row_to_the_cent(tmp_path: Path, real_data: RealData) -> None:
    store = await stored(real_data.atomic / "Atomic.csv", tmp_path)
    assert len(store) == 1_080
    [asset] = sums(store)
    assert asset == "eip155:1/iso4217:USD"
    assert store.assets[asset].decimals == 2
    assert store.left_out == {}
    first = store.of_transactions("eip155:1", ["0xb895b86ada385f2ebd775f934ae0db95f62d9ed62a719e6b50cd0a955f166d8f"])[0]
    assert (first.units, first.height, first.time) == (94_564_673, 17_395_810, 1_685_742_563)


# --- headings


@pytest.mark.parametrize(
    ("headings", "row", "units"),
    [
        ('"Txhash","Blockno","UnixTimestamp","DateTime","From","To","ContractAddress","Value_IN(ETH)","Value_OUT(ETH)",'
         '"TxnFee(ETH)","Status","ErrCode"',
         f'"0x{1:064x}","17000000","1685742563","6/2/2023 9:49","{ALICE}","{BOB}","","0","1.5","0.001","",""',
         15 * 10**17),
        ('"Transaction Hash","Blockno","UnixTimestamp","DateTime (UTC)","From","To","TokenValue","ContractAddress",'
         '"TokenName","TokenSymbol"',
         f'"0x{1:064x}","17000000","1685742563","6/2/2023 9:49","{ALICE}","{BOB}","1,234.5",'
         '"0xdac17f958d2ee523a2206206994597c13d831ec7","Tether USD","USDT"',
         1_234_500_000),
        ("blockNumber,timeStamp,hash,from,to,value,gas,gasPrice,isError",
         f"17000000,1685742563,0x{1:064x},{ALICE},{BOB},1500000000000000000,21000,1,0", 15 * 10**17),
        ("token_address,from_address,to_address,value,transaction_hash,log_index,block_timestamp,block_number",
         f"0xdac17f958d2ee523a2206206994597c13d831ec7,{ALICE},{BOB},77,0x{1:064x},5,2023-06-02 21:49:23 UTC,17000000",
         77),
        ("chain;time;tx;sender;receiver;amount;symbol",
         f"ethereum;2023-06-02T21:49:23Z;0x{1:064x};{ALICE};{BOB};1e-05;ETH", 10**13),
        ("from,to,value", f"{ALICE},{BOB},.5", 5 * 10**17),
    ],
    ids=["explorer-coin", "explorer-token", "explorer-api", "ethereum-etl", "semicolons", "bare"],
)  # fmt: skip
async def test_common_headings_are_understood(tmp_path: Path, headings: str, row: str, units: int) -> None:
    store = await stored(written(tmp_path / "some.csv", headings, row), tmp_path / "store")
    [found] = store.leaving("eip155:1", [store_address(ALICE)])
    assert found.units == units
    assert found.target.lower() == BOB


async def test_a_mapping_file_says_what_headings_do_not(tmp_path: Path) -> None:
    mapping = written(
        tmp_path / "map.toml", 'network = "tron"', 'time_format = "%d.%m.%Y %H:%M"', "[columns]", 'source = "Wer"',
        'target = "Wem"', 'amount = "Wieviel"', 'time = "Wann"', "[assets.Dollar]",
        'asset = "tron:0x2b6653dc/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"', "decimals = 6", "[constants]",
        'asset = "Dollar"',
    )  # fmt: skip
    row = "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem|TJXXmeUbie3JBfK7H3UQb43sWnbhhdTJQx|02.06.2023 21:49|12.5"
    store = await stored(
        written(tmp_path / "a.csv", "Wer|Wem|Wann|Wieviel", row), tmp_path / "s", read_mapping(mapping)
    )
    [found] = store.leaving("tron:0x2b6653dc", ["TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem"])
    assert (found.units, found.time, found.height) == (12_500_000, 1_685_742_540, 0)


async def test_a_mapping_file_admits_tokens_of_its_own(tmp_path: Path) -> None:
    """Its symbol is that of a listed token: without the mapping it is refused as an imitation."""
    contract = "0x" + "5" * 40
    row = f"{ALICE},{BOB},2.5,USDT,{contract}"
    path = written(tmp_path / "a.csv", "from,to,amount,symbol,contract", row)
    refused = await stored(path, tmp_path / "one")
    assert refused.left_out == {LeftOut.IMITATION: 1}
    mapping = written(
        tmp_path / "map.toml", "[[token]]", 'network = "eip155:1"', f'contract = "{contract}"', 'symbol = "USDT"',
        "decimals = 3",
    )  # fmt: skip
    store = await stored(path, tmp_path / "two", read_mapping(mapping))
    assert sums(store) == {f"eip155:1/erc20:{contract}": 2_500}
    assert store.assets[f"eip155:1/erc20:{contract}"].is_listed


def test_a_mapping_or_file_that_says_too_little_is_named(tmp_path: Path) -> None:
    with pytest.raises(ColumnsUnknown, match="target"):
        FileSource(written(tmp_path / "a.csv", "from,amount,hash"))
    with pytest.raises(MappingMalformed, match="payer_"):
        read_mapping(written(tmp_path / "m.toml", "[columns]", 'payer_ = "x"'))
    with pytest.raises(MappingMalformed, match="payer"):
        FileSource(tmp_path / "a.csv", FileMapping(columns={"source": "payer"}))


# --- bad rows


async def test_every_bad_row_is_counted_by_its_reason_and_stops_nothing(tmp_path: Path) -> None:
    def row(number: int, **changes: str) -> str:
        facts = {"chain": "1", "time": "1685742563", "hash": f"0x{number:064x}", "from": ALICE, "to": BOB,
                 "amount": "1", "symbol": "ETH", "contract": "", "isError": "0"} | changes  # fmt: skip
        return ",".join(facts.values())

    fake = "0x" + "5" * 40
    rows = [
        row(1),
        row(2, chain="cosmos-hub"), row(3, chain="eip155:0"),
        row(4, amount="much"), row(5, amount="-1"), row(6, time="yesterday"), row(7, to="0x12"), row(8) + ",more",
        row(9, **{"from": "0xA1" + "a1" * 19}), '"' + row(10), row(11, hash=""), row(12, amount="NaN"),
        row(13, isError="1"), row(14, amount="0.0"), row(15, amount="1e30"),
        row(16, symbol=DISGUISED, contract=fake), row(17, symbol="usdt", contract=fake),
        row(18, symbol="ok", contract="0xdac1" + "7" * 32 + "1ec7"),
        row(19, symbol="Visit win-eth.com", contract=fake),
        row(20, symbol="GOV", contract=fake), row(21, amount="0.1234567890123456789"),
        row(1), "", row(22),
    ]  # fmt: skip
    path = written(tmp_path / "a.csv", "chain,time,hash,from,to,amount,symbol,contract,isError", *rows)
    store = await stored(path, tmp_path / "store")
    assert store.left_out == {
        LeftOut.NETWORK: 2, LeftOut.MALFORMED: 9, LeftOut.FAILED: 1, LeftOut.NOTHING: 1, LeftOut.UNITS: 1,
        LeftOut.IMITATION: 3, LeftOut.ADVERTISEMENT: 1, LeftOut.REPEATED: 1,
    }  # fmt: skip
    [pulled] = store.pulled.values()
    assert pulled.rows == len(store) == 4
    assert pulled.noticed == {Noticed.UNLISTED: 1, Noticed.DECIMALS: 1, Noticed.ROUNDED: 1}
    assert not store.assets[f"eip155:1/erc20:{fake}"].is_listed


async def test_crumbs_from_a_look_alike_are_refused_and_real_money_to_one_is_kept(tmp_path: Path) -> None:
    friend, twin, other = ("0x1542" + middle * 32 + "4443" for middle in "789")
    rows = [f"0x{n:064x},{n + 1_685_742_563},{a},{b},{amount}" for n, (a, b, amount) in enumerate([
        (ALICE, friend, "100"), (twin, ALICE, "0.0001"), (ALICE, twin, "0.01"), (ALICE, other, "55"),
        ("0x9999" + "7" * 36, ALICE, "0.0001"),
    ])]  # fmt: skip
    store = await stored(written(tmp_path / "a.csv", "hash,time,from,to,amount", *rows), tmp_path / "store")
    assert store.left_out == {LeftOut.POISON: 2}
    assert sorted(each.units for each in store.leaving("eip155:1", [store_address(ALICE)])) == [
        55 * 10**18, 100 * 10**18,
    ]  # fmt: skip


# --- exactness


@given(st.integers(0, 2**120 - 1), st.integers(0, 36))
def test_what_is_written_exactly_is_read_exactly(units: int, decimals: int) -> None:
    assert read_amount(format_units(units, decimals), decimals) == (units, False)
    assert read_amount(f"{units}e-{decimals}", decimals) == (units, False)


@given(st.integers(0, 10**12), st.integers(0, 8))
def test_places_that_an_asset_does_not_have_are_rounded_half_up_and_said(units: int, decimals: int) -> None:
    assert read_amount(format_units(units, decimals) + ("5" if decimals else ".5"), decimals) == (units + 1, True)
    assert read_amount(format_units(units, decimals) + ("4" if decimals else ".4"), decimals) == (units, True)


@pytest.mark.parametrize("text", ["", ".", "1,2", "12 ETH", "0x12", "١٢", "--1", "1e9999", "inf", "1" * 200])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountUnreadable):
        read_amount(text, 18)


@pytest.mark.parametrize("text", [
    "1685742563", "1685742563000", "1685742563.5", "2023-06-02 21:49:23", "2023-06-02T21:49:23Z",
    "2023-06-02T23:49:23+02:00", "2023-06-02 21:49:23 UTC", "Jun-02-2023 09:49:23 PM", "6/2/2023 21:49:23",
])  # fmt: skip
def test_times_are_read_in_utc(text: str) -> None:
    assert read_time(text) == 1_685_742_563


# --- going on


async def test_a_file_is_gone_on_with_where_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its second batch: nothing is lost, nothing twice, and no transaction is cut in two."""
    monkeypatch.setattr(files_module, "ROWS_AT_ONCE", 10)
    rows = [f"0x{n // 3:064x},{1_685_742_563 + n},{ALICE},{BOB},{n + 1}" for n in range(100)]
    path = written(tmp_path / "a.csv", "hash,time,from,to,amount", *rows)
    told: list[int] = []

    def cut(progress: object) -> None:
        told.append(progress.done)  # type: ignore[attr-defined]  # a Progress
        if len(told) == 2:
            raise KeyboardInterrupt

    with Store(tmp_path / "store") as store, pytest.raises(KeyboardInterrupt):
        await pull(FileSource(path), Wanted(), store, cut)
    assert told == [12, 24]
    with Store(tmp_path / "store") as again:
        assert len(again) == 24
        await pull(FileSource(path), Wanted(), again, lambda progress: told.append(progress.done))
        assert told[2] > 24
        assert len(again) == 100
        [pulled] = again.pulled.values()
        assert pulled.repeated == 0
        await pull(FileSource(path), Wanted(), again)
        assert again.pulled[next(iter(again.pulled))] == pulled


async def test_an_export_that_goes_back_in_time_is_put_in_order(tmp_path: Path) -> None:
    rows = [f"0x{n:064x},7,{1_685_742_563 + n // 2},{ALICE},{BOB},{n + 1}" for n in reversed(range(6))]
    store = await stored(written(tmp_path / "a.csv", "hash,block,time,from,to,amount", *rows), tmp_path / "store")
    found = store.leaving("eip155:1", [store_address(ALICE)])
    assert [each.units for each in found] == [n * 10**18 for n in range(1, 7)]


async def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    table = pa.table({
        "tx_hash": [bytes([7]) * 32], "block_timestamp": pa.array([1_685_742_563_000], pa.timestamp("ms", "UTC")),
        "from_address": [ALICE], "to_address": [BOB], "value": pa.array([15 * 10**17], pa.decimal128(38, 0)),
        "gas_price": [1], "block_number": [17_000_000],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    store = await stored(tmp_path / "a.parquet", tmp_path / "store")
    [found] = store.of_transactions("eip155:1", ["0x" + "07" * 32])
    assert (found.units, found.time, found.movement) == (15 * 10**17, 1_685_742_563, Movement.COIN)


async def test_a_store_s_own_file_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Outputs and all: what one case pulled from a node, another imports."""
    rows = [
        "bip122:12a765e31ffd4059bada1e25190f6e98,5,3,1685742563,{tx},{tx},LKDyUEtTR1HXamkiEphisSiBJu6o3ZPE34,"
        "bip122:12a765e31ffd4059bada1e25190f6e98/slip44:2,700,output,{tx}:0".format(tx="ab" * 32),
    ]
    heads = "network,height,order,time,transaction,source,target,asset,units,movement,outpoint"
    first = await stored(written(tmp_path / "a.csv", heads, *rows), tmp_path / "one")
    assert first.left_out == {}
    [part] = first.files
    second = await stored(part, tmp_path / "two")
    found = second.of_transactions("bip122:12a765e31ffd4059bada1e25190f6e98", ["ab" * 32])
    assert found == first.of_transactions("bip122:12a765e31ffd4059bada1e25190f6e98", ["ab" * 32])
    assert (found[0].movement, found[0].units, found[0].outpoint) == (Movement.OUTPUT, 700, "ab" * 32 + ":0")


async def test_a_file_is_an_exhibit_and_its_rows_point_to_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "from,to,value", f"{ALICE},{BOB},1")
    evidence, store = Evidence(tmp_path / "evidence"), Store(tmp_path / "store")
    await pull(FileSource(path, evidence=evidence, at=5), Wanted(), store)
    [found] = store.leaving("eip155:1", [store_address(ALICE)])
    assert Evidence(tmp_path / "evidence").raw(found.evidence) == path.read_bytes()
    assert evidence.exhibits[found.evidence].source == "file:a.csv"
