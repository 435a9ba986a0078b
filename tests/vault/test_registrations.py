"""The vault as devices register it: in each one's published grammar, and read back as the very same descriptor."""

import json
from collections.abc import Callable

import pytest
from embit import bip32, descriptor as embit_descriptor
from hypothesis import given, settings, strategies as st

from fixtures_vault import DESCRIPTOR, LITECOIN, PEOPLE, VAULT, bitcoin_network
from holdfast.core.descriptors import Branch, DescriptorChecksumWrong, DescriptorMalformed
from holdfast.core.networks import BITCOIN_NETWORKS, BitcoinNetwork
from holdfast.vault.officers import OfficerSecret, descriptor_of, public_part
from holdfast.vault.registrations import (
    RegistrationForm,
    RegistrationMalformed,
    VaultNotRegistrable,
    export,
    read_back,
)

LEDGER, COLDCARD, SPECTER = RegistrationForm.LEDGER, RegistrationForm.COLDCARD, RegistrationForm.SPECTER
DESCRIPTORS = RegistrationForm.DESCRIPTOR

# The multisig among BIP 388's own test vectors.
BIP388_TEMPLATE = "wsh(sortedmulti(2,@0/**,@1/**))"
BIP388_KEYS = [
    "[6738736c/48'/0'/0'/2']xpub6FC1fXFP1GXLX5TKtcjHGT4q89SDRehkQLtbKJ2PzWcvbBHtyDsJPLtpLtkGqYNYZdVVAjRQ5kug9CsapegmmeRutpP7PW4u4wVF9JfkDhw",
    "[b2b1f0cf/48'/0'/0'/2']xpub6EWhjpPa6FqrcaPBuGBZRJVjzGJ1ZsMygRF26RwN932Vfkn1gyCiTbECVitBjRCkexEvetLdiqzTcYimmzYxyR1BZ79KNevgt61PDcukmC7",
]
BIP388_MULTIPATH = f"wsh(sortedmulti(2,{BIP388_KEYS[0]}/<0;1>/*,{BIP388_KEYS[1]}/<0;1>/*))"


def policy(template: str, keys: list[str]) -> str:
    return json.dumps({"name": "vault", "descriptor_template": template, "keys_info": keys})


@st.composite
def quorums(draw: st.DrawFn) -> tuple[BitcoinNetwork, str]:
    """A network and the descriptor of any officers there."""
    network = draw(st.sampled_from(BITCOIN_NETWORKS))
    seeds = draw(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5, unique=True))
    people = [public_part(f"o{number}", OfficerSecret(b"k" * 32, seed)) for number, seed in enumerate(seeds)]
    return network, descriptor_of(network, people, draw(st.integers(1, len(people))))


@settings(deadline=None, max_examples=25)
@given(quorums(), st.sampled_from(list(RegistrationForm)))
def test_every_vault_comes_back_from_every_form_as_it_went(made: tuple[BitcoinNetwork, str], form: RegistrationForm):
    _, text = made
    assert read_back(export(text, form, "holdfast"), form) == text


@settings(deadline=None, max_examples=10)
@given(quorums(), st.integers(0, 2**31 - 1), st.sampled_from(list(Branch)))
def test_a_wallet_program_derives_our_addresses_from_both_branches(
    made: tuple[BitcoinNetwork, str], index: int, branch: Branch
):
    network, text = made
    theirs = embit_descriptor.Descriptor.from_string(export(text, DESCRIPTORS, "v").strip().split("#")[0])
    script = theirs.derive(index, branch_index=int(branch)).script_pubkey()
    from holdfast.chains.bitcoin_scripts import script_of
    from holdfast.core.descriptors import VaultDescriptor

    assert script.data == script_of(network, VaultDescriptor.parse(text).address(index, network, branch))


def test_the_wallet_policy_is_bip_388s_own_vector():
    ours = export(BIP388_MULTIPATH.replace("<0;1>", "0"), LEDGER, "vault")
    assert json.loads(ours) == json.loads(policy(BIP388_TEMPLATE, BIP388_KEYS))
    both = read_back(policy(BIP388_TEMPLATE, BIP388_KEYS), LEDGER)
    assert both == read_back(BIP388_MULTIPATH, DESCRIPTORS)
    assert export(both, DESCRIPTORS, "vault").split("#")[0] == BIP388_MULTIPATH.replace("'", "h")
    assert both == read_back(policy(BIP388_TEMPLATE.replace("/**", "/<0;1>/*"), BIP388_KEYS), LEDGER)


@pytest.mark.parametrize(
    "template",
    [  # BIP 388's invalid ones, as multisigs
        "wsh(sortedmulti(2,@0,@1))",
        "wsh(sortedmulti(2,@0/0/**,@1/**))",
        "wsh(sortedmulti(2,@1/**,@0/**))",
        "wsh(sortedmulti(2,@0/**,@2/**))",
        "wsh(sortedmulti(2,@0/**,@0/**))",
        "wsh(sortedmulti(2,@0/<0;1>/*,@0/<1;2>/*))",
        f"wsh(sortedmulti(2,@0/**,{BIP388_KEYS[1]}/<0;1>/*))",
        "wsh(sortedmulti(2,@0/<0;1;2>/*,@1/**))",
        # and others than ours
        "wsh(sortedmulti(2,@0/**))",
        "wsh(sortedmulti(2,@0/**,@1/**,@2/**))",
        "wsh(sortedmulti(2,@0/<2;3>/*,@1/<2;3>/*))",
        "wsh(sortedmulti(2,@00/**,@1/**))",
        "wsh(multi(2,@0/**,@1/**))",
        "sh(wsh(sortedmulti(2,@0/**,@1/**)))",
        "wsh(sortedmulti(2,@0/**,@1/**)))",
        "",
    ],
)
def test_a_wallet_policy_that_is_not_a_vaults_is_refused(template: str):
    with pytest.raises(RegistrationMalformed):
        read_back(policy(template, BIP388_KEYS), LEDGER)


def test_a_threshold_that_nobody_can_reach_is_refused():
    for template in ("wsh(sortedmulti(3,@0/**,@1/**))", "wsh(sortedmulti(0,@0/**,@1/**))"):
        with pytest.raises(DescriptorMalformed):
            read_back(policy(template, BIP388_KEYS), LEDGER)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (LEDGER, "nonsense"),
        (LEDGER, policy(BIP388_TEMPLATE, [BIP388_KEYS[0], BIP388_KEYS[1].partition("]")[2]])),
        (LEDGER, json.dumps({"name": "vault", "descriptor_template": BIP388_TEMPLATE})),
        (SPECTER, "{}"),
        (SPECTER, json.dumps({"label": "x", "descriptor": BIP388_MULTIPATH})),
        (DESCRIPTORS, ""),
        (DESCRIPTORS, DESCRIPTOR),
        (DESCRIPTORS, BIP388_MULTIPATH + "#qqqqqqqq"),
        (DESCRIPTORS, BIP388_MULTIPATH.replace("[6738736c/48'/0'/0'/2']", "")),
        (COLDCARD, ""),
        (COLDCARD, "Name: x\nPolicy: 2 of 2\nnonsense"),
    ],
)
def test_what_is_no_registration_is_refused(form: RegistrationForm, text: str):
    with pytest.raises(RegistrationMalformed):
        read_back(text, form)


def test_a_letter_read_wrongly_is_noticed():
    text = policy(BIP388_TEMPLATE, [BIP388_KEYS[0], BIP388_KEYS[1][:-1] + "8"])
    with pytest.raises(DescriptorMalformed):
        read_back(text, LEDGER)
    with pytest.raises(DescriptorChecksumWrong):
        export(DESCRIPTOR.replace("sortedmulti(2", "sortedmulti(1"), LEDGER, "vault")


def coldcard_reader(text: str) -> tuple[str, int, int, str, list[tuple[str, str, str]]]:
    """What Coldcard's documented reader makes of a multisig file: name, M, N, format, (xfp, derivation, xpub)."""
    name, m, n, script, derivation, keys = "", 0, 0, "P2SH", "", []
    for line in text.split("\n"):
        if line.startswith("#") or ":" not in line:
            continue
        label, value = (part.strip() for part in line.split(":", 1))
        match label.lower():
            case "name":
                name = value
            case "policy":
                m, n = (int(word) for word in value.split(" of "))
            case "format":
                script = value
            case "derivation":
                derivation = value
            case _:
                keys.append((label, derivation, value))
    return name, m, n, script, keys


@pytest.mark.parametrize(("network", "script"), [("bitcoin", "P2WSH"), ("dogecoin", "P2SH")])
def test_coldcard_reads_every_key_with_its_path_and_depth(network: str, script: str):
    text = descriptor_of(bitcoin_network(network), PEOPLE, 2)
    name, m, n, shown, keys = coldcard_reader(export(text, COLDCARD, "holdfast"))
    assert (name, m, n, shown) == ("holdfast", 2, 3, script)
    for (fingerprint, derivation, xpub), person in zip(keys, PEOPLE, strict=True):
        origin = person.xpubs[network].partition("]")[0].replace("h", "'")
        assert f"[{fingerprint.lower()}{derivation.removeprefix('m')}" == origin
        assert bip32.HDKey.from_string(xpub).depth == derivation.count("/")  # its own firmware compares them
        assert fingerprint == fingerprint.upper()


def other_order(text: str) -> str:
    return text.replace("Name: holdfast\n", "").replace("Format: P2WSH\n", "") + "FORMAT : p2wsh\nname: holdfast\n"


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: "# exported\n\n" + text,
        other_order,
        lambda text: text.replace("2 of 3", "2/3"),
        lambda text: text.replace("'", "h"),
    ],
)
def test_coldcards_own_freedoms_are_read(rewrite: Callable[[str], str]):
    assert read_back(rewrite(export(DESCRIPTOR, COLDCARD, "holdfast")), COLDCARD) == DESCRIPTOR


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace("2 of 3", "2 of 4"),
        lambda text: text.replace("Policy: 2 of 3", ""),
        lambda text: text.replace("P2WSH", "P2SH-P2WSH"),
        lambda text: text.replace("Derivation: m/48'/2'/0'/2'", ""),
        lambda text: text.replace("C40F3ABF: ", "C40F3ABF: 0"),
    ],
)
def test_a_coldcard_file_with_one_thing_wrong_is_refused(rewrite: Callable[[str], str]):
    with pytest.raises(RegistrationMalformed):
        read_back(rewrite(export(DESCRIPTOR, COLDCARD, "holdfast")), COLDCARD)


@pytest.mark.parametrize("name", ["", "x" * 21, "käse", "a\nb", " a"])
def test_a_name_that_some_device_does_not_take_is_refused(name: str):
    with pytest.raises(VaultNotRegistrable):
        export(DESCRIPTOR, LEDGER, name)


def test_a_descriptor_that_no_device_could_sign_for_is_refused():
    plain = DESCRIPTOR.split("#")[0]
    for text in (
        plain.replace("[c40f3abf/48h/2h/0h/2h]", ""),
        plain.replace("1dc1399b", "c40f3abf"),
        plain.replace("/0/*", "/*"),
        plain.replace("/0/*", "/5/*"),
    ):
        with pytest.raises(VaultNotRegistrable):
            export(text, LEDGER, "vault")


def test_specter_gets_the_deposit_branch_as_it_expects():
    made = json.loads(export(DESCRIPTOR, SPECTER, "holdfast"))
    assert made == {"label": "holdfast", "descriptor": DESCRIPTOR, "blockheight": 0}


def test_change_and_deposits_never_share_an_address():
    deposits = {VAULT.address(index, LITECOIN) for index in range(50)}
    assert deposits.isdisjoint(VAULT.address(index, LITECOIN, Branch.CHANGE) for index in range(50))
