"""The runbook: where each scope is, who must do what now, what is done, what is next, with commands that are right."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from fixtures_cli import holdfast_here
from fixtures_policy import NOW, Books
from fixtures_signer import EVM
from holdfast.core import journal as j
from holdfast.core.orders import CHECKS, STEPS, Restore, Stage, read_order
from holdfast.core.tower_status import StopShown, TowerStatus
from holdfast.faces.cli import restore_checks, runbook
from holdfast.faces.cli.runbook import Checked, CheckState, Known
from holdfast.vault import documents

TIME = datetime.fromtimestamp(NOW, UTC)
DONE = {name: Checked(name, CheckState.DONE, "seen", "") for name in CHECKS}


def status(seq: int = 0, head: str = "", **stages: str) -> TowerStatus:
    told = {"*" if scope == "_" else scope: stage for scope, stage in stages.items()}
    stops = tuple(StopShown("id", scope, "malware", "ada", (NOW - 60) * 1_000, ended=False) for scope in told)
    return TowerStatus(NOW * 1_000, seq, head, "", (), told, stops, (), 0, ())


def known(**more: object) -> Known:
    facts: dict[str, object] = {"officers": ["ada", "bo", "cy"], "threshold": 2, "soak_seconds": 600, "checks": DONE}
    return Known(**{**facts, **more})  # type: ignore[arg-type]  # the facts of what is known


def test_nothing_frozen_is_nothing_to_do() -> None:
    assert runbook.plans(status(), known(), TIME) == []
    assert "normal everywhere" in runbook.words([], known())[0]


@pytest.mark.parametrize("step", STEPS)
def test_each_stage_names_its_next_step_with_the_checks_that_it_needs(step: Stage) -> None:
    before, checks = STEPS[step]
    since = NOW - 600
    (plan,) = runbook.plans(status(_=before.value), known(stages={"*": (before, since)}), TIME)
    assert (plan.stage, plan.next, plan.is_ready) == (before, step, True)
    assert {one.name for one in plan.checks} == checks
    text = "\n".join(runbook.words([plan], known()))
    for words in ("everything", before.value, f"next: {step.value}", "2 of ada, bo, cy", "way back"):
        assert words in text


def test_a_stage_that_has_not_lasted_says_when_to_sign() -> None:
    stages = {"*": (Stage.ALLOWLISTED, NOW - 100)}
    (plan,) = runbook.plans(status(_="allowlisted"), known(stages=stages), TIME)
    assert plan.due_at == TIME + timedelta(seconds=500)
    assert not plan.is_ready
    assert not any("order sign" in command for command in plan.commands)


def test_an_open_check_stands_before_the_step_and_a_persons_word_does_not() -> None:
    for state, is_ready in ((CheckState.OPEN, False), (CheckState.PERSON, True)):
        checks = {**DONE, "reconciled": Checked("reconciled", state, "a gap", "staff", "look here")}
        (plan,) = runbook.plans(status(_="frozen"), known(checks=checks), TIME)
        assert plan.is_ready is is_ready
        assert ("look here" in plan.commands) is not is_ready


def test_without_the_platform_every_check_is_a_persons_word() -> None:
    (plan,) = runbook.plans(status(_="frozen"), Known(), TIME)
    assert {one.state for one in plan.checks} == {CheckState.PERSON}
    assert all(one.who and one.command for one in plan.checks)


@pytest.mark.parametrize("scope", ["*", EVM.coin.id, "mer_one"])
def test_its_commands_make_the_order_that_it_speaks_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (plan,) = runbook.plans(status(**{scope: "frozen"}), known(), TIME)
    program, *words = shlex.split(plan.commands[0])
    assert program == "holdfast"
    done = holdfast_here(*words)
    assert done.code == 0, done.err
    order = read_order(documents.read(tmp_path / words[-1]).document.encode())
    assert isinstance(order, Restore)
    assert (order.scopes, order.stage, set(order.checked)) == ((scope,), Stage.ALLOWLISTED, set(CHECKS[:3]))
    assert len([one for one in plan.commands if "order sign" in one]) == 2
    assert plan.commands[-1].startswith("holdfast restore --hand-in")


class TestChecks:
    """What the program looks at itself."""

    @pytest.fixture
    def books(self) -> Books:
        return Books().begin()

    def test_a_journal_that_follows_is_verified_and_one_that_was_edited_is_not(self, books: Books) -> None:
        books.policy()
        stored = [one.stored for one in books.entries]
        fingerprint, head = books.house.quorum.fingerprint(), books.record.head
        record, checked = restore_checks.journal_verified(stored, status(head.seq, head.hash), fingerprint)
        assert record == books.record
        assert checked.state is CheckState.DONE
        for wrong in (stored[:1], stored[::-1], [msgspec.structs.replace(stored[0], hash="00" * 32)]):
            _, checked = restore_checks.journal_verified(wrong, status(head.seq, head.hash), fingerprint)
            assert checked.state is CheckState.OPEN, checked
        _, checked = restore_checks.journal_verified(stored, status(head.seq, "ff" * 32), fingerprint)
        assert "not in this copy" in checked.detail
        assert restore_checks.journal_verified(stored, status(), "00" * 32)[0] is None

    def test_a_float_that_was_spent_is_open_until_it_is_rotated(self, books: Books) -> None:
        assert restore_checks.float_rotated(books.record, status()).state is CheckState.DONE
        books.add(j.Stopped(EVM.id, "unexplained spend"))
        checked = restore_checks.float_rotated(books.record, status())
        assert (checked.state, checked.command) == (CheckState.OPEN, "holdfast rotate float NETWORK")
        assert EVM.id in checked.detail
