"""The verified theft among strangers who use the same services: what is planted is found, services link nobody."""

from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest

from fixtures_atomic import atomic
from fixtures_link import ETH, ETHEREUM, Story, account
from fixtures_real_data import RealData
from holdfast.core.evm import checksum
from holdfast.trace.link.compare import compare
from holdfast.trace.link.incident import Incident
from holdfast.trace.link.words import Evidence, Verdict
from holdfast.trace.model import LabelKind, Reason, Step, Transfer
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.share.leaving import private_nodes

STRANGERS = 30_000
LATER = 1_700_000_000


def paid(number: int, source: str, target: str, units: int = 10**16) -> Transfer:
    hash_ = "0x" + sha256(f"{number} {source} {target}".encode()).hexdigest()
    return Transfer(ETHEREUM, 18_000_000 + number, 0, LATER + number, hash_, source, target, ETH, units)


class Scene:
    """The theft, its services, strangers who use them, and one other theft that used all of these services too."""

    def __init__(self, real_data: RealData) -> None:
        theft = atomic(real_data)
        self.book = theft.names
        targets = sorted({step.transfer.target for step in theft.trace.steps})
        found = {each: theft.names.service(ETHEREUM, each, LATER) for each in targets}
        self.services = [each for each, label in found.items() if label and label.kind is not LabelKind.DEPOSIT]
        self.deposits = [each for each, label in found.items() if label and label.kind is LabelKind.DEPOSIT]
        random = Random(5)  # noqa: S311  the same strangers in every run
        people = [checksum(sha256(str(number).encode()).digest()[:20]) for number in range(STRANGERS // 5)]
        noise = [
            paid(number, random.choice(people), random.choice(self.services if number % 3 else people), 10**15 + number)
            for number in range(STRANGERS)
        ]
        self.stored = [*theft.transfers.leaving(ETHEREUM, list({s.transfer.source for s in theft.trace.steps})), *noise]
        self.theft = Incident("atomic", theft.trace, ListedTransfers(self.stored), self.book, theft.addresses)
        private, _ = private_nodes(self.theft)
        self.private = [address for (_, address), how in sorted(private.items()) if not how.is_root]

    def kind(self, address: str) -> LabelKind:
        label = self.book.service(ETHEREUM, address, LATER)
        assert label is not None
        return label.kind

    def other(self, planted: Callable[[str], list[Transfer]], beside: tuple[Transfer, ...] = ()) -> Incident:
        story = Story("other", LATER).theft("other victim", "other 1", 10**20)
        me = account("other 1")
        moved = [paid(10**6 + number, me, service) for number, service in enumerate(self.services)] + planted(me)
        trace = story.trace()
        trace.steps += [Step(f"E9{n:03d}", each, 1, Reason.DIRECT, 95, {}) for n, each in enumerate(moved)]
        store = ListedTransfers([*self.stored, *story.all_transfers(), *moved, *beside])
        return Incident("other", trace, store, self.book)


@pytest.fixture(scope="module")
def scene(real_data: RealData) -> Scene:
    return Scene(real_data)


def test_a_stranger_who_used_every_one_of_its_services_is_not_linked(scene: Scene) -> None:
    found = compare(scene.theft, scene.other(lambda _: []))
    assert found.verdict is Verdict.NOTHING
    assert found.naive.shared == len(scene.services) > 20, "a naive intersection would have linked them"
    assert found.overlap.shared == 0


def test_one_payment_to_one_of_its_addresses_links(scene: Scene) -> None:
    target = scene.private[60]
    found = compare(scene.theft, scene.other(lambda me: [paid(2 * 10**6, me, target)]))
    assert found.verdict is Verdict.LINKED
    linking = [each for each in found.links if each.evidence in {Evidence.DIRECT, Evidence.COMINGLED}]
    assert {each.addresses[-1] for each in linking} == {target}
    assert found.overlap.shared == 1
    assert found.overlap.expected_thousandths < 50


def test_one_shared_deposit_address_links_by_class_c(scene: Scene) -> None:
    deposit = scene.deposits[7]
    found = compare(scene.theft, scene.other(lambda me: [paid(2 * 10**6, me, deposit)]))
    assert found.verdict is Verdict.LINKED
    (link,) = [each for each in found.links if each.evidence in "ABC"]
    assert (link.evidence, link.addresses) == (Evidence.INFRASTRUCTURE, (deposit,))


def test_a_service_without_a_label_that_only_feeds_a_bridge_links_nobody(scene: Scene) -> None:
    """Both paid it; it is labelled nowhere."""
    front = account("front")
    (bridge, *_) = [each for each in scene.services if scene.kind(each) is LabelKind.BRIDGE]
    mine = scene.private[10]
    step = Step("E9998", paid(3 * 10**6, mine, front), 9, Reason.DIRECT, 95, {})
    onward = [paid(4 * 10**6 + number, front, bridge) for number in range(4)]
    theft = Incident(
        "atomic",
        type(scene.theft.trace)(scene.theft.trace.thefts, [*scene.theft.trace.steps, step]),
        ListedTransfers([*scene.stored, step.transfer, *onward]),
        scene.book,
        scene.theft.addresses,
    )
    found = compare(theft, scene.other(lambda me: [paid(2 * 10**6, me, front)], tuple(onward)))
    assert found.verdict is Verdict.NOTHING
    assert front in {each.address for each in found.removed}
    assert any(front in each for each in found.untested)
