"""Carry out runs, one or many, in one process or several; each ends in a `Verdict`."""

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from crdtkv.sim.monitors.coverage import Coverage
from crdtkv.sim.plan.fault_classes import AT_LARGE, CLASSES, EACH, class_in_turn
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.runs.run import Run
from crdtkv.sim.world.stored import InvariantViolated

CHUNK = 8


@dataclass(slots=True)
class Verdict:
    """The end of one run. `failure` is None if all invariants hold, else `invariant` names the first broken one."""

    plan: Plan
    failure: str | None = None
    invariant: str = ""
    digest: str = ""
    messages: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)

    def __str__(self) -> str:
        if self.failure is None:
            counts = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items())
            return (
                f"seed {self.plan.seed}{self._of_class}: {counts}; {self.messages} messages; trace {self.digest[:16]}"
            )
        replay = f"python -m crdtkv.sim {self.plan.seed}{self._of_class} --trace"
        if self.plan != Plan.draw(self.plan.seed, self.plan.fault_class):
            replay = "store it with --save FILE, then python -m crdtkv.sim --plan FILE --trace"
        return f"seed {self.plan.seed}{self._of_class} FAILED\n{self.failure}\n  {self.plan}\n  replay: {replay}"

    @property
    def _of_class(self) -> str:
        return f" --class {self.plan.fault_class}" if self.plan.fault_class else ""


@dataclass(slots=True)
class Total:
    """The sum of many verdicts."""

    began_s: float = field(default_factory=time.monotonic)
    runs: int = 0
    operations: int = 0
    messages: int = 0
    failures: list[Verdict] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    #: The number of runs of each fault class.
    of_class: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        """Add the verdict on one run."""
        self.runs += 1
        self.of_class[verdict.plan.fault_class] += 1
        self.operations += sum(verdict.outcomes.values())
        self.messages += verdict.messages
        self.coverage.counts.update(verdict.coverage.counts)
        if verdict.failure is not None:
            self.failures.append(verdict)

    def line(self, jobs: int) -> str:
        """Return the figures in one line."""
        minutes = max(time.monotonic() - self.began_s, 1e-9) / 60
        return (
            f"{self.runs:,} runs, {self.operations:,} operations, {self.messages:,} messages, "
            f"{len(self.failures)} failures in {minutes * 60:.0f} s: {self.runs / minutes / jobs:,.0f} runs and "
            f"{self.operations / minutes / jobs:,.0f} operations a minute and process"
        )

    def classes(self) -> str:
        """Return the number of runs of each class, for people; "" if all were drawn at large."""
        if set(self.of_class) <= {""}:
            return ""
        failed = Counter(verdict.plan.fault_class for verdict in self.failures)
        return "\n".join(
            f"{self.of_class[name]:>12,}  {name or 'at large':<12} {failed[name]} failures: {about}"
            for name, about in (("", AT_LARGE.about), *((name, one.about) for name, one in CLASSES.items()))
            if self.of_class[name]
        )


def run_plan(plan: Plan) -> Verdict:
    """Carry out the run of a plan."""
    verdict = Verdict(plan)
    run = Run(plan)
    try:
        run.execute()
    except InvariantViolated as violated:
        verdict.failure = "".join(f"  {violation}\n" for violation in violated.violations[:5]).rstrip()
        verdict.invariant = violated.violations[0].invariant
    except Exception as error:  # any exception of the product is a finding
        verdict.failure = "  " + "\n  ".join(traceback.format_exc().splitlines()[-6:])
        verdict.invariant = type(error).__name__
    verdict.digest = run.cluster.world.trace.digest
    verdict.messages = run.cluster.world.trace.messages
    verdict.coverage = run.cluster.monitors.coverage
    outcomes = [operation.outcome for operation in run.history]
    verdict.outcomes = {kind: outcomes.count(kind) for kind in ("ok", "fail", "info")}
    return verdict


def run_seed(seed: int, fault_class: str = "") -> Verdict:
    """Carry out the run of a seed: at large, of a class, or of the class whose turn it is (`EACH`)."""
    return run_plan(Plan.draw(seed, class_in_turn(seed) if fault_class == EACH else fault_class))


def run_seeds(seeds: Iterable[int], jobs: int, fault_class: str = "") -> Iterator[Verdict]:
    """Carry out the runs of many seeds, in any order if there is more than one process."""
    one = partial(run_seed, fault_class=fault_class)
    if jobs == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(one, seeds, CHUNK)
