"""The signer's keys, in a keystore and in a hardware module: anybody verifies what they sign; they never come out."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.exceptions import AttributeSensitive

from holdfast.core import keystore
from holdfast.core.bitcoin import der
from holdfast.signer.keys import KeyNameMalformed, Keys, KeystoreKeys, KeyUnknown, make_keys, open_keys
from holdfast.signer.pkcs11_keys import ORDER, Pkcs11Keys

PASSPHRASE = "correct horse battery staple"
ETHEREUM, GAS, BITCOIN = "eip155:1", "eip155:1/gas", "bip122:000000000019d6689c085ae165831e93"
NAMES = (ETHEREUM, GAS, BITCOIN)
LIBRARIES = [Path("/usr/lib/softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")]


def private(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A SoftHSM2 token: its library and the file with its PIN."""
    directory = tmp_path_factory.mktemp("hsm")
    library = next((path for path in LIBRARIES if path.exists()), None)
    program = shutil.which("softhsm2-util")
    if library is None or program is None:
        pytest.skip("SoftHSM2 is not installed here: scripts/setup installs it where apt-get is")
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(directory / "softhsm2.conf"))
        words = ("--init-token", "--free", "--label", "holdfast", "--pin", "246810", "--so-pin", "135790")
        subprocess.run([program, *words], check=True, capture_output=True)  # noqa: S603  its own tool, found above
        yield library, private(directory / "pin", "246810")


@pytest.fixture(scope="module")
def hsm(token: tuple[Path, Path]) -> Iterator[Pkcs11Keys]:
    keys = Pkcs11Keys(token[0], "holdfast", token[1], is_writing=True)
    keys.make(NAMES)
    yield keys
    keys.close()


@pytest.fixture
def stored(tmp_path: Path) -> KeystoreKeys:
    make_keys(NAMES).write(tmp_path / "signer.keystore", PASSPHRASE, keystore.COST_MIN)
    return open_keys(tmp_path / "signer.keystore", private(tmp_path / "passphrase", PASSPHRASE))


@pytest.fixture(params=["stored", "hsm"])
def keys(request: pytest.FixtureRequest) -> Keys:
    found: Keys = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_a_key_signs_its_public_key_verifies_with_s_in_the_lower_half(keys: Keys, name: str) -> None:
    public = keys.public_key(name)
    assert len(public) == 33
    for number in range(12):  # without the halving, one half of a module's signatures would be in the upper half
        digest = hashlib.sha256(bytes([number])).digest()
        signature = keys.sign(name, digest)
        assert len(signature) == 64
        assert int.from_bytes(signature[32:]) <= ORDER // 2
        assert PublicKey(public).verify(der(signature), digest, hasher=None)
        recovered = [
            PublicKey.from_signature_and_message(signature + bytes([parity]), digest, hasher=None) for parity in (0, 1)
        ]
        assert PublicKey(public) in recovered


def test_the_journal_key_signs_ed25519(keys: Keys) -> None:
    public = keys.journal_key() if isinstance(keys, Pkcs11Keys) else bytes.fromhex(keys.public_keys()["journal"])
    Ed25519PublicKey.from_public_bytes(public).verify(keys.sign_journal(b"request"), b"request")


def test_each_network_and_its_gas_have_keys_of_their_own(keys: Keys) -> None:
    assert len({keys.public_key(name) for name in NAMES}) == 3


def test_a_name_without_a_key_is_refused_and_so_is_what_is_no_digest(keys: Keys) -> None:
    with pytest.raises(KeyUnknown):
        keys.public_key("eip155:10")
    with pytest.raises(KeyUnknown):
        keys.sign("eip155:10", bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        keys.sign(ETHEREUM, b"a message")


def test_no_private_key_comes_out_of_the_module(hsm: Pkcs11Keys) -> None:
    for name, kind in ((ETHEREUM, KeyType.EC), ("journal", KeyType.EC_EDWARDS)):
        key = hsm._session.get_key(object_class=ObjectClass.PRIVATE_KEY, key_type=kind, label=name)
        assert key[Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(AttributeSensitive):
            key[Attribute.VALUE]
    assert "246810" not in repr(hsm)


def test_keys_are_made_once_and_another_process_finds_them(token: tuple[Path, Path], hsm: Pkcs11Keys) -> None:
    before = {name: hsm.public_key(name).hex() for name in NAMES}
    assert hsm.make(NAMES) == {"journal": hsm.journal_key().hex(), **before}
    assert elsewhere(token[0], "holdfast", token[1]) == before[ETHEREUM]
    with pytest.raises(KeyNameMalformed):
        hsm.make(["gas"])


def test_a_module_that_is_not_there_or_does_not_open_is_named(token: tuple[Path, Path], tmp_path: Path) -> None:
    right, wrong = token[1], private(tmp_path / "pin", "1")
    cases = ((tmp_path / "x.so", "holdfast", right), (token[0], "other", right), (token[0], "holdfast", wrong))
    for library, label, pin in cases:
        assert elsewhere(library, label, pin) == "hsm-unavailable"
    wrong.chmod(0o644)
    assert elsewhere(token[0], "holdfast", wrong) == "keystore-exposed"


def test_a_module_without_ed25519_leaves_the_journal_to_a_keystore(token: tuple[Path, Path], tmp_path: Path) -> None:
    """As the signer's settings say it: `[hsm]` and a keystore beside it."""
    make_keys([]).write(tmp_path / "signer.keystore", PASSPHRASE, keystore.COST_MIN)
    private(tmp_path / "passphrase", PASSPHRASE)
    library, pin = token
    script = (
        "import sys; from pathlib import Path\n"
        "from holdfast.signer.main import keys_of\n"
        "from holdfast.signer.settings import load\n"
        "keys = keys_of(load(Path(sys.argv[1])))\n"
        "print(type(keys).__name__, keys.sign_journal(b'request').hex())\n"
    )
    settings = tmp_path / "signer.toml"
    settings.write_text(
        f'root_fingerprint = "{"ab" * 32}"\ngenesis_file = "g"\njournal_file = "j"\ntower_port = 1\n'
        'platform_url = "http://127.0.0.1:1"\ntoken_file = "t"\nkeystore_file = "signer.keystore"\n'
        f'passphrase_file = "passphrase"\nnetworks = {{}}\n'
        f'[hsm]\nlibrary = "{library}"\ntoken = "holdfast"\npin_file = "{pin}"\n'
    )
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", script, str(settings)], capture_output=True, text=True, check=True, timeout=60
    )
    kind, signature = done.stdout.split()
    public = open_keys(tmp_path / "signer.keystore", tmp_path / "passphrase").public_keys()["journal"]
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), b"request")
    assert kind == "Pkcs11Keys"


def elsewhere(library: Path, label: str, pin: Path) -> str:
    """What another process gets: a key, or an error's code. In one process nobody can log in twice."""
    script = (
        "import sys; from pathlib import Path\n"
        "from holdfast.core.errors import HoldfastError\n"
        "from holdfast.signer.pkcs11_keys import Pkcs11Keys\n"
        "try:\n"
        "    keys = Pkcs11Keys(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))\n"
        "    print(keys.public_key('eip155:1').hex())\n"
        "except HoldfastError as error:\n"
        "    print(error.code)\n"
    )
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", script, str(library), label, str(pin)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_a_keystore_says_whose_keys_it_holds_and_hides_them(stored: KeystoreKeys, tmp_path: Path) -> None:
    text = (tmp_path / "signer.keystore").read_text()
    sealed = keystore.decode(text.encode(), "signer")
    assert sealed.public == stored.public_keys()
    assert set(sealed.public) == {"journal", *NAMES}
    for key in stored._keys.values():
        assert key.secret.hex() not in text + repr(stored)
    assert (tmp_path / "signer.keystore").stat().st_mode & 0o077 == 0
    with pytest.raises(keystore.KeystoreExists):
        stored.write(tmp_path / "signer.keystore", PASSPHRASE)


def test_a_rotated_float_has_a_fresh_key_beside_the_old_ones(stored: KeystoreKeys, tmp_path: Path) -> None:
    more = stored.with_fresh([ETHEREUM, f"{ETHEREUM}/2"])
    assert more.public_key(ETHEREUM) == stored.public_key(ETHEREUM) != more.public_key(f"{ETHEREUM}/2")
    assert more.public_keys()["journal"] == stored.public_keys()["journal"]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda keyfile, word: keyfile.unlink(), keystore.KeystoreMissing),
        (lambda keyfile, word: keyfile.chmod(0o640), keystore.KeystoreExposed),
        (lambda keyfile, word: keyfile.write_text("{}"), keystore.KeystoreMalformed),
        (lambda keyfile, word: replace(keyfile, '"signer"', '"lease"'), keystore.KeystoreOfAnotherKind),
        (lambda keyfile, word: replace(keyfile, "eip155:1/gas", "eip155:1/gaz"), keystore.PassphraseWrong),
        (lambda keyfile, word: word.write_text("another passphrase"), keystore.PassphraseWrong),
        (lambda keyfile, word: word.unlink(), keystore.KeystoreMissing),
        (lambda keyfile, word: word.chmod(0o604), keystore.KeystoreExposed),
    ],
)  # fmt: skip
def test_keys_do_not_open_when_anything_is_wrong(
    stored: KeystoreKeys, tmp_path: Path, spoil: Callable[[Path, Path], object], error: type[Exception]
) -> None:
    spoil(tmp_path / "signer.keystore", tmp_path / "passphrase")
    with pytest.raises(error):
        open_keys(tmp_path / "signer.keystore", tmp_path / "passphrase")


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("secret", [b"", b"{}", b'{"journal":"zz","keys":{}}', b'{"journal":"00","keys":{}}'])
def test_a_keystore_with_something_else_in_it_is_malformed(tmp_path: Path, secret: bytes) -> None:
    sealing = keystore.Keystore(1, "signer", {}, keystore.COST_MIN, "00" * 32, "00" * 12, "")
    sealed = keystore.seal(sealing, secret, PASSPHRASE)
    path = private(tmp_path / "signer.keystore", keystore.encode(sealed).decode())
    with pytest.raises(keystore.KeystoreMalformed):
        open_keys(path, private(tmp_path / "passphrase", PASSPHRASE))


def test_names_are_networks_and_keys_are_keys() -> None:
    with pytest.raises(KeyNameMalformed):
        KeystoreKeys(bytes(32), {"../../etc": bytes([1]) * 32})
    with pytest.raises(keystore.KeystoreMalformed):
        KeystoreKeys(bytes(32), {ETHEREUM: bytes(32)})
    with pytest.raises(keystore.PassphraseWeak):
        make_keys([]).write(Path("/nowhere"), "hunter2")
