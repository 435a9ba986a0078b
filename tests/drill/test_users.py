"""Each zone of a drill runs under a user of its own, who cannot enter another zone's directory."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from holdfast.drill.places import UIDS, Places, TrustZone, as_zone, not_run

pytestmark = pytest.mark.skipif(bool(not_run()), reason=f"the host does not let us: {not_run()}")

READ = "import sys; print(open(sys.argv[1]).read())"


@pytest.fixture
def places(drill_directory: Path) -> Places:
    made = Places(Path(tempfile.mkdtemp(dir=drill_directory)))
    for zone in (TrustZone.PLATFORM, TrustZone.SIGNER, TrustZone.WATCHTOWER):
        made.of(zone).mkdir(parents=True)
        (made.of(zone) / "passphrase").write_text(f"of {zone}")
    made.merchant("mallory").mkdir(parents=True)
    made.give()
    return made


def as_(zone: TrustZone, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*as_zone(zone), sys.executable, *words], capture_output=True, text=True, check=False)  # noqa: S603  our own words


@pytest.mark.parametrize("reader", [TrustZone.PLATFORM, TrustZone.SIGNER, TrustZone.WATCHTOWER])
def test_a_zone_reads_its_own_files_and_no_other_zones(places: Places, reader: TrustZone) -> None:
    for owner in (TrustZone.PLATFORM, TrustZone.SIGNER, TrustZone.WATCHTOWER):
        done = as_(reader, "-c", READ, str(places.of(owner) / "passphrase"))
        assert (done.returncode == 0) == (owner is reader), done.stderr
        assert (f"of {owner}" in done.stdout) == (owner is reader)


def test_a_zone_has_its_number_no_capability_and_no_way_to_gain_one() -> None:
    done = as_(TrustZone.SIGNER, "-c", "print(open('/proc/self/status').read())")
    facts = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == [str(UIDS[TrustZone.SIGNER])] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"] == "1"


def test_a_zone_can_run_the_program(places: Places) -> None:
    done = as_(TrustZone.WATCHTOWER, "-c", "import holdfast.watchtower.main")
    assert done.returncode == 0, done.stderr
