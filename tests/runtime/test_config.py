"""Every line of the configuration that can be wrong, and what the reader is told."""

from pathlib import Path

import pytest

from fixtures_cli import DESCRIPTOR
from holdfast.core.errors import HoldfastError
from holdfast.core.money import parse_units
from holdfast.core.networks import known_network
from holdfast.runtime.config import CONFIG_VARIABLE, config_path, load, read_secret
from holdfast.runtime.secret_files import write_secret
from holdfast.runtime.settings import Settings
from holdfast.runtime.toml_lines import line_of

GOOD = """\
quorum_file = "quorum.json"

[database]
data_dir = "data/database"

[api]
port = 8480
public_url = "https://pay.example.org"

[networks.litecoin]
finality_depth = 50
confirmations = [{ below = "0.5", count = 1 }, { below = "10", count = 3 }, { count = 6 }]
nodes = [
  { url = "http://127.0.0.1:9332", cookie_file = "litecoin.cookie" },
  { url = "http://10.0.0.2:9332", rpcuser = "holdfast", rpcpassword_file = "secrets/rpc" },
]
descriptor = "DESCRIPTOR"

[networks.ethereum]
factory = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
implementation = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
vault = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"

[[networks.ethereum.nodes]]
url_file = "secrets/rpc"

[[networks.ethereum.tokens]]
contract = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
symbol = "USDT"
decimals = 6

[rates]
sources = []

[rates.fixed]
"LTC/EUR" = "85.00"

[webhooks]
key_file = "secrets/webhook.key"
""".replace("DESCRIPTOR", DESCRIPTOR)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "quorum.json").write_text("{}")
    write_secret(tmp_path / "secrets" / "webhook.key", "ab" * 32)
    write_secret(tmp_path / "secrets" / "rpc", "http://127.0.0.1:1")
    return tmp_path


def loaded(directory: Path, text: str) -> Settings:
    (directory / "holdfast.toml").write_text(text)
    return load(directory / "holdfast.toml")


def test_a_good_file_is_read_and_its_paths_start_at_its_directory(directory: Path) -> None:
    settings = loaded(directory, GOOD)
    assert settings.webhooks.key_file == directory / "secrets" / "webhook.key"
    assert settings.database.backup_dir == directory / "data" / "backups"
    assert settings.networks["litecoin"].nodes[0].cookie_file == directory / "litecoin.cookie"
    assert [asset.symbol for asset in settings.networks["ethereum"].assets.values()] == ["ETH", "USDT"]


def test_confirmations_follow_the_amount(directory: Path) -> None:
    litecoin = loaded(directory, GOOD).networks["litecoin"]
    coin = known_network("litecoin").coin
    needed = [litecoin.confirmations_for(parse_units(text, 8), coin) for text in ("0.49999999", "0.5", "9.9", "10")]
    assert needed == [1, 3, 3, 6]


def test_an_evm_network_of_ones_own_needs_only_its_id_and_symbol(directory: Path) -> None:
    text = GOOD.replace("[networks.ethereum]", "[networks.gnosis]\nchain_id = 100\nsymbol = 'xDAI'")
    settings = loaded(directory, text.replace("networks.ethereum.", "networks.gnosis."))
    assert settings.networks["gnosis"].network.id == "eip155:100"


# what stands in the good file, what stands there instead, the error, the line it names, a word of what it says
WRONG = [
    ("port = 8480", "prot = 8480", "setting-unknown", 7, "did you mean `port`"),
    ("port = 8480", 'port = "8480"', "setting-malformed", 7, "a whole number"),
    ("port = 8480", "port = 8480.5", "setting-malformed", 7, "a whole number"),
    ("port = 8480", "port = true", "setting-malformed", 7, "a whole number"),
    ("port = 8480", "port = 0", "setting-malformed", 7, ">= 1"),
    ("port = 8480", "port = 65536", "setting-malformed", 7, "65535"),
    ("port = 8480", "port = 8481", "settings-contradict", 1, "api.port has port 8481"),
    ("port = 8480", "port = ", "config-syntax", 7, "line 7"),
    ("port = 8480", "port = 8480\nport = 8481", "config-syntax", 8, "line 8"),
    ("[api]", "[apis]", "setting-unknown", 6, "did you mean `api`"),
    ("[api]", "path = 1\n[api]", "setting-unknown", 6, ""),
    ('data_dir = "data/database"', "data_dir = 7", "setting-malformed", 4, "path"),
    ('data_dir = "data/database"', 'url = "mysql://db/holdfast"', "setting-malformed", 4, "postgresql://"),
    ('data_dir = "data/database"', 'url = "postgresql://u:hunter2@db/h"', "setting-holds-secret", 4, ""),
    ('data_dir = "data/database"', 'url = "postgresql://db/h?password=hunter2"', "setting-holds-secret", 4, ""),
    ('data_dir = "data/database"', 'owner_url = "postgresql://db/h"', "settings-contradict", 4, "needs `url`"),
    ("https://pay.example.org", "pay.example.org", "setting-malformed", 8, "http"),
    ("https://pay.example.org", "https://pay.example.org/shop", "setting-malformed", 8, "host only"),
    ("[networks.litecoin]", "[networks.lightcoin]", "setting-unknown", 10, "no network has this name"),
    ("finality_depth = 50", 'name = "x"', "setting-unknown", 11, "the table's own name"),
    ("finality_depth = 50", "chain_id = 5", "settings-contradict", 10, "both `chain_id` and `symbol`"),
    ("finality_depth = 50", "finality_depth = 5", "settings-contradict", 12, "above `finality_depth`"),
    ("finality_depth = 50", "finality_depth = 0", "setting-malformed", 11, ">= 1"),
    ("finality_depth = 50", 'vault = "0x0"', "settings-contradict", 11, "no meaning on this network"),
    ("finality_depth = 50", "minimum_deposits = { BTC = '1' }", "setting-unknown", 11, "this network has LTC"),
    ("finality_depth = 50", "minimum_deposits = { LTC = '1e-3' }", "setting-malformed", 11, "plain decimal"),
    ("finality_depth = 50", "standing_minimums = { BTC = '1' }", "setting-unknown", 11, "this network has LTC"),
    ("finality_depth = 50", "payout_fees = { LTC = { payout = '1' } }", "settings-contradict", 11, "is `company`"),
    ("finality_depth = 50", "payout_fees = { LTC = { payout = '1e1' } }", "setting-malformed", 11, "plain decimal"),
    ("[networks.litecoin]", "[payouts]\nfee = 'merchant'\n[networks.litecoin]", "setting-missing", 12, "for LTC"),
    ('below = "0.5"', "below = 0.5", "setting-malformed", 12, "text"),
    ('below = "0.5"', 'below = "half"', "setting-malformed", 12, "decimal number"),
    ('below = "0.5"', 'below = "10"', "settings-contradict", 12, "must rise"),
    ("{ count = 6 }", '{ below = "11", count = 6 }', "settings-contradict", 12, "the last must not"),
    ("count = 3", "cuont = 3", "setting-unknown", 12, "did you mean `count`"),
    ("http://127.0.0.1:9332", "127.0.0.1:9332", "setting-malformed", 14, "http://"),
    ("http://127.0.0.1:9332", "http://127.0.0.1:99999", "setting-malformed", 14, "not a URL"),
    ("http://127.0.0.1:9332", "http://holdfast:hunter2@127.0.0.1:9332", "setting-holds-secret", 14, ""),
    ("http://10.0.0.2:9332", "http://hunter2@10.0.0.2:9332", "setting-holds-secret", 15, ""),
    ("http://10.0.0.2:9332", "http://10.0.0.2/?apikey=hunter2", "setting-holds-secret", 15, ""),
    ('url = "http://10.0.0.2:9332", ', "", "settings-contradict", 15, "`url` or `url_file`"),
    ('rpcuser = "holdfast", ', "", "settings-contradict", 15, "go together"),
    ('cookie_file = "litecoin.cookie"', 'cookie = "x"', "setting-unknown", 14, "cookie_file"),
    ('"secrets/rpc" },', '"secrets/none" },', "secret-file-missing", 15, "none"),
    ("[d34db33f/48h", "[d34db33/48h", "setting-malformed", 17, "cannot be read"),
    ("sortedmulti(2,", "sortedmulti(3,", "setting-malformed", 17, "3 of 2"),
    ("tpubDC5FSn", "tpubDC5FSm", "setting-malformed", 17, ""),
    ("tpubDC5FSn", "tprvDC5FSn", "setting-holds-secret", 17, "private key"),
    ("wsh(sortedmulti", "tr(sortedmulti", "setting-malformed", 17, ""),
    ("descriptor = ", "descriptors = ", "setting-unknown", 17, "did you mean `descriptor`"),
    ("descriptor = ", "# descriptor = ", "setting-missing", 10, "`descriptor`"),
    ('vault = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"', "", "setting-missing", 19, "`vault`"),
    ("factory = ", 'descriptor = "wsh()"\nfactory = ', "settings-contradict", 20, "no meaning on this network"),
    ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6", "setting-malformed", 20, "not an EVM address"),
    (
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0x" + "fB6916095ca1df60bB79Ce92cE3Ea74c37c5d358",
        "setting-malformed",
        21,
        "checksum",
    ),
    (
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xdbf03b407c01e7cd3cbea99509d93f8dddc8c6fb",
        "setting-malformed",
        22,
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ),
    (
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "settings-contradict",
        22,
        "named above",
    ),
    (
        "0xdAC17F958D2ee523a2206206994597C13D831ec7",
        "0xdAC17F958D2ee523a2206206994597C13D831ec8",
        "setting-malformed",
        28,
        "checksum",
    ),
    ("decimals = 6", "decimals = 37", "setting-malformed", 30, "36"),
    ('symbol = "USDT"\n', "", "setting-missing", 27, "`symbol`"),
    ("sources = []", "sources = ['kraken']", "settings-contradict", 35, "exclude each other"),
    ('"LTC/EUR" = "85.00"', "", "setting-missing", 33, "name sources"),
    ('"LTC/EUR"', '"litecoin"', "setting-malformed", 36, "LTC/EUR"),
    ('"85.00"', '"0.00"', "setting-malformed", 36, "above 0"),
    ('"85.00"', "85.00", "setting-malformed", 35, "text"),
    ('quorum_file = "quorum.json"', 'quorum_file = "q.json"', "file-missing", 1, "q.json"),
    ('"secrets/webhook.key"', '"secrets/none"', "secret-file-missing", 39, "none"),
    ("[webhooks]", "[webhooks]\nconcurrency = -1", "setting-malformed", 39, ">= 1"),
    ("[webhooks]", "[logs]\nlevel = 'loud'\n[webhooks]", "setting-malformed", 39, "loud"),
]


@pytest.mark.parametrize(("was", "wrong", "code", "line", "said"), WRONG, ids=[row[1] or row[0] for row in WRONG])
def test_a_wrong_line_is_named_with_what_to_do(
    directory: Path, was: str, wrong: str, code: str, line: int, said: str
) -> None:
    assert was in GOOD
    with pytest.raises(HoldfastError) as caught:
        loaded(directory, GOOD.replace(was, wrong, 1))
    assert caught.value.code == code, caught.value
    assert f"holdfast.toml:{line}" in caught.value.detail, caught.value
    assert said in caught.value.detail
    assert "hunter2" not in str(caught.value)


def test_a_configuration_without_networks_is_refused(directory: Path) -> None:
    with pytest.raises(HoldfastError, match="setting-missing"):
        loaded(directory, "[api]\nport = 8480\n")


def test_a_secret_that_others_may_read_is_refused(directory: Path) -> None:
    (directory / "secrets" / "webhook.key").chmod(0o640)
    with pytest.raises(HoldfastError, match=r"secret-file-exposed.*:39 .*mode 0640.*chmod 600"):
        loaded(directory, GOOD)
    with pytest.raises(HoldfastError, match="secret-file-exposed"):
        read_secret(directory / "secrets" / "webhook.key")


def test_an_empty_secret_is_no_secret(directory: Path) -> None:
    (directory / "secrets" / "webhook.key").write_text(" \n")
    with pytest.raises(HoldfastError, match="secret-file-missing"):
        read_secret(directory / "secrets" / "webhook.key")


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match=r"config-missing.*holdfast init"):
        load(tmp_path / "holdfast.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(HoldfastError, match="config-unreadable"):
        load(tmp_path / "holdfast.toml")


def test_the_configuration_is_the_one_given_else_that_of_the_environment_else_the_one_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "there.toml")
    assert config_path(Path("given.toml")) == Path("given.toml")
    assert config_path() == Path("there.toml")
    monkeypatch.delenv(CONFIG_VARIABLE)
    assert config_path() == Path("holdfast.toml")


def test_lines_are_found_in_text_that_looks_like_settings() -> None:
    text = 'a = """\n[b]\nc = 1\n"""\n[b]\n# c = 2\nc = 3\n[[d]]\ne = 1\n[[d]]\ne = "[x]"\nf = [\n  1,\n  2,\n]\n'
    assert line_of(text, ("b", "c")) == 7
    assert line_of(text, ("d", 1, "e")) == 11
    assert line_of(text, ("d", 0)) == 8
    assert line_of(text, ("d", 1, "f", 1)) == 14
    assert line_of(text, ("nowhere",)) == 1
