"""`holdfast init`: a whole set-up or none, and each key where it belongs."""

import json
import stat
from pathlib import Path

import pytest

from fixtures_cli import holdfast
from holdfast.core.networks import known_network
from holdfast.core.quorum import read_quorum
from holdfast.payments.catalogue import catalogue
from holdfast.runtime.config import load
from holdfast.vault import keystore
from holdfast.vault.officers import OfficerSecret, public_part

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cli")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local set-up."""
    directory = tmp_path_factory.mktemp("init") / "shop"
    done = holdfast("init", "--local", directory)
    assert done.code == 0, done.err
    return directory


def test_a_local_set_up_loads_and_matches_its_local_network(made: Path) -> None:
    settings = load(made / "holdfast.toml")
    plan = json.loads((made / "localnet.json").read_text())
    assert settings.networks["anvil"].nodes[0].url == f"http://127.0.0.1:{plan['anvil_port']}"
    assert settings.networks["anvil"].tokens[0].contract == plan["token"]
    assert settings.networks["litecoin-regtest"].nodes[0].url == f"http://127.0.0.1:{plan['litecoin_port']}"
    assert all(listed.vault is not None for listed in catalogue(settings).networks.values())


def test_the_quorum_is_made_of_the_officers_keystores(made: Path) -> None:
    passphrase = (made / "officers" / "passphrase").read_text().strip()
    quorum = read_quorum((made / "quorum.json").read_bytes())
    assert (quorum.threshold, len(quorum.officers)) == (2, 3)
    opened = keystore.unseal(keystore.read(made / "officers" / "officer-1.keystore"), passphrase)
    public = public_part("officer-1", OfficerSecret.unpack(opened))
    assert public.key == quorum.officers[0].key
    assert public.evm_address in json.loads((made / "localnet.json").read_text())["owners"]
    descriptor = load(made / "holdfast.toml").networks["litecoin-regtest"].descriptor
    assert public.xpubs["litecoin-regtest"] in (descriptor or "")


def test_secrets_lie_in_files_that_only_their_owner_may_read(made: Path) -> None:
    secret = [*(made / "secrets").iterdir(), *made.glob("*/*.keystore"), *made.glob("*/passphrase")]
    secret.append(made / "signer" / "token")
    assert len(secret) == 14
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert {stat.S_IMODE((made / name).stat().st_mode) for name in ("secrets", "officers")} == {0o700}
    config = (made / "holdfast.toml").read_text()
    for path in secret:
        assert path.read_text().strip() not in config


def test_every_setting_stands_in_the_file_with_what_it_means(made: Path) -> None:
    text = (made / "holdfast.toml").read_text()
    for setting in ("finality_depth", "max_age_seconds", "trusted_proxies", "give_up_after_hours", "level"):
        assert f"\n# {setting} = " in text or f"\n{setting} = " in text


def test_nothing_is_ever_overwritten(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    done = holdfast("init", "--local", made, "--json")
    assert done.code == 6
    assert json.loads(done.out)["error"]["code"] == "set-up-exists"
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_a_set_up_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    (tmp_path / "short").chmod(0o600)
    done = holdfast("init", tmp_path / "new", "--network", "litecoin", "--passphrase-file", tmp_path / "short")
    assert done.code == 3
    assert "passphrase-weak" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "set-up-unclear"),
        (["--local", "--network", "litecoin"], "set-up-unclear"),
        (["--network", "lightcoin"], "network-unknown"),
        (["--network", "litecoin", "--threshold", "4"], "quorum-malformed"),
    ],
)
def test_an_unclear_wish_is_named(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "words").write_text("six random words are good enough")
    (tmp_path / "words").chmod(0o600)
    done = holdfast("init", tmp_path / "new", *words, "--passphrase-file", tmp_path / "words")
    assert done.code == 3
    assert said in done.err
    assert not (tmp_path / "new").exists()


def test_real_networks_come_with_officers_files_made_elsewhere(made: Path, tmp_path: Path) -> None:
    files = [made / "officers" / f"officer-{number}.json" for number in (1, 2, 3)]
    given = [word for path in files for word in ("--officer", str(path))]
    networks = [word for name in ("bitcoin", "dogecoin", "ethereum") for word in ("--network", name)]
    done = holdfast("init", tmp_path / "real", *networks, *given, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["networks"] == [known_network(name).id for name in ("bitcoin", "dogecoin", "ethereum")]
    assert not (tmp_path / "real" / "officers").exists()
    settings = load(tmp_path / "real" / "holdfast.toml")
    assert settings.networks["dogecoin"].descriptor is not None
    assert settings.rates.sources
    quorums = {(directory / "quorum.json").read_bytes() for directory in (made, tmp_path / "real")}
    assert len(quorums) == 1
