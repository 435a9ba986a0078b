"""A named part of CCSS 9.1 and OWASP ASVS 5.0.0, in our own words: how each item is checked. Pure.

An item fails where one of its kinds of findings is there. What no program can see stays "by hand", and says who looks.
The numbers are the standards'; where we know only the aspect or chapter, the letter behind it is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdfast.faces.assess.severities import Finding

CCSS, ASVS = "CCSS 9.1", "OWASP ASVS 5.0.0"


class Outcome(StrEnum):
    """How an item came out."""

    PASS = "pass"  # noqa: S105  an outcome, not a password
    FAIL = "fail"
    NOT_APPLICABLE = "not-applicable"
    BY_HAND = "by-hand"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a standard."""

    standard: str
    number: str
    sentence: str
    how: str
    kinds: frozenset[str] = frozenset()
    """Findings of these kinds are a fail; empty: by hand, or `always`."""
    needs: str = ""
    """The part that must have been looked at, by the name that `part-not-looked-at` gives it."""
    needs_signer: bool = False
    """Only where payouts are made."""
    always: bool = False
    """Holds by construction, shown by a test of the house: passes in every set-up."""

    @property
    def id(self) -> str:
        """As the report and the reference page name it."""
        return f"{self.standard.split()[0]}-{self.number}"


@dataclass(frozen=True, slots=True)
class Result:
    """An item and how it came out."""

    item: Item
    outcome: Outcome
    because: str


def _item(standard: str, number: str, sentence: str, how: str, *kinds: str) -> Item:
    return Item(standard, number, sentence, how, frozenset(kinds))


ITEMS = (
    _item(CCSS, "1.01.1.1", "Each key is made by whoever will use it.",
          "no officer's keystore lies on the server", "vault-keys-online", "officer-key-online"),
    Item(CCSS, "1.01-a", "Keys come from the operating system's generator.",
         "`secrets` is the only source in `vault` and `signer`; a lint forbids others", always=True),
    _item(CCSS, "1.02-a", "More than one key must sign for what belongs to customers.",
          "the quorum's threshold is two at the least", "quorum-of-one"),
    _item(CCSS, "1.02-b", "A key may be lost without the money being lost.",
          "the threshold is below the number of officers", "quorum-without-spare", "quorum-of-one"),
    Item(CCSS, "1.02-c", "An address is checked by somebody else than its maker before it is shown.",
         "each address is derived twice, by two libraries, and the SDK derives it again", always=True),
    _item(CCSS, "1.03-a", "Keys at rest are encrypted, and expensive to guess.",
          "every keystore's scrypt cost", "keystore-cheap"),
    _item(CCSS, "1.03-b", "Nobody but its user can read a key's file.",
          "mode of every keystore, passphrase and token", "secret-exposed", "directory-writable"),
    _item(CCSS, "1.03-c", "Each key has a backup, elsewhere, protected like the key.",
          "officers show theirs to each other once a year"),
    _item(CCSS, "1.04-a", "Access to keys is granted and taken away by a written procedure.",
          "the ceremony's protocol; grants that outlived their holder", "api-key-of-closed-merchant",
          "allow-list-forgotten", "standing-order-of-closed-merchant"),
    Item(CCSS, "1.05.1.1", "Whoever uses an online key has shown two different factors.",
         "the float's keys are in a hardware module", frozenset({"float-keys-in-software"}),
         needs="signer's settings", needs_signer=True),
    Item(CCSS, "1.05.2.2", "Online keys are apart from other processes.",
         "each zone's files have an owner of their own", frozenset({"zones-share-a-user"}),
         needs="signer's settings", needs_signer=True),
    Item(CCSS, "1.05-a", "What is signed was verified first, by the one who signs.",
         "the one order in `signer/loop.py`, and its tests", always=True),
    Item(CCSS, "1.05-b", "What online keys can spend is limited.",
         "limits and caps of the policy in force",
         frozenset({"policy-missing", "limit-not-binding", "float-above-cap"}),
         needs_signer=True),
    _item(CCSS, "1.05-c", "People with keys were looked into: references, identity, background.", "by the operator"),
    _item(CCSS, "1.06-a", "Media that held keys are destroyed, and it is written down.", "by the operator"),
    _item(CCSS, "2.01-a", "Somebody from outside tests the system every year.", "the auditor's report"),
    _item(CCSS, "2.01-b", "Known holes of dependencies are looked for.", "the advisory database and its age",
          "advisories-missing", "advisories-old", "dependency-vulnerable"),
    _item(CCSS, "2.03-a", "There is a threat model, and it is looked at again.", "this assessment, and its age",
          "assessment-overdue"),
    Item(ASVS, "2.1.3", "Limits are written down, for each merchant and for all together.",
         "the policy in force", frozenset({"policy-missing"}), needs_signer=True),
    Item(ASVS, "2.3.3", "A business transaction happens whole or not at all.",
         "the kill harness, a thousand times", always=True),
    Item(ASVS, "2.3.5", "Large payouts need a second person.", "`approvals` of every asset",
         frozenset({"approvals-missing"}), needs_signer=True),
    _item(ASVS, "4.1-a", "One caller cannot take the whole API.", "`requests_per_minute`", "rate-limit-off"),
    _item(ASVS, "6.3-a", "Staff sign in with a second factor.",
          "no staff console yet, the operator's API key is one factor: who holds it?"),
    Item(ASVS, "8.2.1", "Each function asks for its permission.", "a route declares who may call it; a test tries all",
         always=True),
    Item(ASVS, "8.4.1", "No merchant reaches another's data.", "a test asks each route for another's", always=True),
    _item(ASVS, "8.4.2", "What an administrator does is guarded by more than one thing.",
          "every operator's API key names the addresses it works from", "operator-key-anywhere"),
    _item(ASVS, "12.2.1", "All that comes from outside comes over TLS.", "`public_url` and `host`",
          "api-unencrypted", "api-open"),
    _item(ASVS, "13.2.2", "Parts talk with the least rights that they need.",
          "zones have users of their own; merchants' keys not every scope", "zones-share-a-user", "api-key-broad"),
    _item(ASVS, "13.2.5", "The server asks only those whom it is meant to ask.", "`allow_private` of webhooks",
          "private-webhooks"),
    Item(ASVS, "13.3.1", "No secret stands in settings, code or builds.",
         "settings name files; a start is refused where one holds a secret", always=True),
    _item(ASVS, "13.3.2", "Only who needs a secret can read it.", "mode of every secret's file", "secret-exposed"),
    _item(ASVS, "13.3.4", "Secrets end, and are replaced.",
          "ages and ends of API keys, float and lease keys, officers' and freeze keys", "key-old", "api-key-old",
          "api-key-unused", "officers-keys-old", "freeze-key-without-end", "freeze-key-over"),
    _item(ASVS, "13.4.2", "Nothing runs in a debug mode.", "`level` of the logs", "debug-logs"),
    Item(ASVS, "15.1.2", "Every dependency is listed.", "the lock file", frozenset({"lock-file-missing"})),
    _item(ASVS, "15.2.1", "No dependency with a known hole is older than the time set for it.",
          "installed versions against the advisory database", "dependency-vulnerable", "advisories-missing",
          "advisories-old"),
    _item(ASVS, "15.2.4", "What is installed is what was locked.", "installed versions against the lock file",
          "dependency-not-locked", "lock-file-missing"),
    _item(ASVS, "16.3-a", "Logs go to a place that the logging host cannot change.", "by the operator"),
)  # fmt: skip


def results(findings: Sequence[Finding], *, pays_out: bool) -> list[Result]:
    """Every item and how it came out, in the standards' order."""
    return [_result(item, findings, pays_out=pays_out) for item in ITEMS]


def _result(item: Item, findings: Sequence[Finding], *, pays_out: bool) -> Result:
    if item.needs_signer and not pays_out:
        return Result(item, Outcome.NOT_APPLICABLE, "nothing is paid out")
    if item.always:
        return Result(item, Outcome.PASS, "holds by construction")
    failing = [one.id for one in findings if one.kind in item.kinds]
    if failing:
        return Result(item, Outcome.FAIL, ", ".join(failing[:4]) + (" …" if len(failing) > 4 else ""))
    unseen = [one.subject for one in findings if one.kind == "part-not-looked-at" and _stands_on(item, one.subject)]
    if unseen:
        return Result(item, Outcome.BY_HAND, f"not looked at: {', '.join(unseen)}")
    if not item.kinds:
        return Result(item, Outcome.BY_HAND, "no program can see it")
    return Result(item, Outcome.PASS, "nothing found")


def _stands_on(item: Item, part: str) -> bool:
    """Whether an item that found nothing may have found nothing because this part was not looked at."""
    if item.needs == part:
        return True
    return part == "database" and any(kind.startswith(("api-key", "operator-key", "allow-list")) for kind in item.kinds)
