"""Rights of a bounded counter while everything goes wrong at once: lost messages, broken links, crashes, cuts."""

from random import Random

import pytest
from two_datacenters import NAMES, Outcome, World

from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.wire.messages import MutateReply

#: What may happen next, and how often of 1000.
HAPPENINGS = {
    "increment": 30,
    "decrement": 120,
    "deliver": 440,
    "sync": 180,
    "bus": 60,
    "pull": 60,
    "wait": 60,
    "break_link": 10,
    "crash": 8,
    "restart": 24,
    "cut": 8,
}
STEPS = 400


class Chaos:
    """One run: what is asked, delivered, lost, cut and crashed is drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(seed, repair={"interval_s": 1.0, "rebuild_s": 3600, "read_share": 0})
        self.asked: list[tuple[str, int, Outcome]] = []

    @property
    def up(self) -> list[str]:
        return list(self.world.cores)

    def run(self) -> None:
        for happening in self.random.choices(list(HAPPENINGS), list(HAPPENINGS.values()), k=STEPS):
            getattr(self, happening)()
            for name in self.up:
                self.check(self.world.counter(name))

    def check(self, counter: BoundedCounter) -> None:
        assert counter.value >= 0
        assert all(counter.rights_of(owner) >= 0 for owner in counter.shares)

    def increment(self) -> None:
        self.ask("increment")

    def decrement(self) -> None:
        self.ask("decrement")

    def ask(self, operation: str) -> None:
        amount, at, level = self.random.randint(1, 9), self.random.choice(self.up), self.random.choice(LEVELS)
        self.asked.append((operation, amount, self.world.ask(operation, amount, at, level, 2000)))

    def deliver(self) -> None:
        busy = [pair for pair, messages in self.world.links.items() if messages]
        if busy:
            self.world.deliver(*self.random.choice(busy))

    def sync(self) -> None:
        self.world.sync(self.random.choice(self.up))

    def bus(self) -> None:
        if self.world.bus:
            index = self.random.randrange(len(self.world.bus))
            if self.random.random() < 0.2:
                self.world.bus.pop(index)  # NATS keeps nothing of what goes to one node
            else:
                self.world.deliver_bus(index)

    def pull(self) -> None:
        datacenter = self.random.choice(("eu", "us"))
        if self.world.streams[datacenter] and not self.world.is_cut:
            self.world.pull(datacenter, self.random.randrange(len(self.world.streams[datacenter])))

    def wait(self) -> None:
        self.world.wait(self.random.choice((0.01, 0.1, 0.3)))

    def break_link(self) -> None:
        one, other = self.random.sample(self.up, 2)
        if one[:2] == other[:2]:
            self.world.break_link(one, other)

    def crash(self) -> None:
        if len(self.up) > 4:
            self.world.crash(self.random.choice(self.up))

    def restart(self) -> None:
        down = [name for name in NAMES if name not in self.world.cores]
        if down:
            self.world.start(self.random.choice(down))

    def cut(self) -> None:
        self.world.is_cut = not self.world.is_cut

    def heal(self) -> None:
        self.world.is_cut = False
        for name in NAMES:
            if name not in self.world.cores:
                self.world.start(name)
        self.world.settle(8)

    def acknowledged(self, operation: str) -> int:
        return sum(n for kind, n, what in self.asked if kind == operation and isinstance(what.answer, MutateReply))

    def refused(self, operation: str) -> int:
        """Return what was certainly not carried out."""
        return sum(n for kind, n, what in self.asked if kind == operation and _is_certain_no(what))


LEVELS = ("ONE", "LOCAL_QUORUM")


def _is_certain_no(outcome: Outcome) -> bool:
    return (
        repr(outcome) != "unanswered" and not isinstance(outcome.answer, MutateReply) and "timeout" not in repr(outcome)
    )


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_no_more_is_decremented_than_there_was(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.run()
    chaos.heal()
    world = chaos.world
    # After healing all agree, on what was acknowledged and on nothing that was refused.
    assert len({entry.to_bytes() for name in NAMES if (entry := world.stored(name)) is not None}) <= 1
    counter = world.counter("eu-1")
    chaos.check(counter)
    for operation, total in (
        ("increment", sum(share.incremented for share in counter.shares.values())),
        ("decrement", sum(share.used for share in counter.shares.values())),
    ):
        asked = sum(amount for kind, amount, _ in chaos.asked if kind == operation)
        assert chaos.acknowledged(operation) <= total <= asked - chaos.refused(operation)
    # No rights are lost: all that is left can be had at one node.
    if counter.value:
        assert repr(world.do("decrement", counter.value, "us-2", "LOCAL_ALL", 60_000)) == "ok"
        world.settle(2)
    assert {world.counter(name).value for name in NAMES} == {0}
    assert world.counted("junk_messages") == 0
    assert world.counted("incarnations_renewed") == 0


def test_the_runs_reach_what_they_are_for() -> None:
    chaos = [Chaos(seed) for seed in range(10)]
    for one in chaos:
        one.run()
    answers = [repr(outcome) for one in chaos for _, _, outcome in one.asked]
    assert sum(one.world.counted("rights_given") for one in chaos) > 20
    assert sum(answer == "ok" for answer in answers) > 100
    assert sum(answer.startswith("insufficient_rights") for answer in answers) > 20
    assert any("timeout" in answer for answer in answers)
    assert any(outcome.took_s > 0.5 for one in chaos for kind, _, outcome in one.asked if repr(outcome) == "ok")
