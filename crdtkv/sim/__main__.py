"""`python -m crdtkv.sim`: carry out simulated runs of a cluster, and print a verdict on each.

python -m crdtkv.sim 42                       one run
python -m crdtkv.sim 42 --trace               with all messages and events
python -m crdtkv.sim --seeds 0..10000 --jobs 2
python -m crdtkv.sim --seeds 0..              until stopped
python -m crdtkv.sim --seeds 0..500 --class disks   runs of one class of faults; `each` takes all classes in turn
python -m crdtkv.sim 42 --shrink              cut a failing run down to the smallest one
python -m crdtkv.sim --plan FILE              replay a stored plan
python -m crdtkv.sim scale --help             ring and gossip of up to thousands of nodes
"""

import argparse
import contextlib
import itertools
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from crdtkv.checking.history import Operation
from crdtkv.sim.plan.fault_classes import CLASSES, EACH, class_in_turn
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.runs.run import Run
from crdtkv.sim.runs.runner import Total, run_plan, run_seeds
from crdtkv.sim.runs.shrink import shrink

PROGRESS_EVERY = 200
FAILURES_MAX = 10


def main() -> int:
    """Exit 0 if all invariants hold, 1 if one does not, 2 on wrong arguments."""
    if sys.argv[1:2] == ["scale"]:
        from crdtkv.sim.scale import command  # noqa: PLC0415 - the ring and gossip only, with its own options

        return command.main(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m crdtkv.sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seed", type=int, nargs="?", help="one run")
    parser.add_argument("--seeds", type=_seeds, metavar="A..B", help="many runs; A.. continues until stopped")
    parser.add_argument(
        "--class",
        dest="fault_class",
        choices=[*CLASSES, EACH],
        default="",
        help=f"runs of one class of faults, or of all in turn: {', '.join(CLASSES)}, {EACH}",
        metavar="CLASS",
    )
    parser.add_argument("--plan", type=Path, metavar="FILE", help="the run of a stored plan")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument("--trace", action="store_true", help="print all messages and events")
    parser.add_argument("--shrink", action="store_true", help="cut a failing run down, and print its trace")
    parser.add_argument("--save", type=Path, metavar="FILE", help="store the plan (the shrunk one with --shrink)")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="store the operations of the clients, for crdtkv.checking"
    )
    parser.add_argument("--coverage", action="store_true", help="print how often each interesting path was reached")
    arguments = parser.parse_args()
    if sum(given is not None for given in (arguments.seed, arguments.seeds, arguments.plan)) != 1:
        parser.error("give one of: a seed, --seeds A..B, --plan FILE")
    if arguments.fault_class and arguments.plan is not None:
        parser.error("a stored plan has the class it was drawn from: leave --class out")
    if arguments.jobs < 1:
        parser.error("--jobs counts from 1")
    if arguments.seeds is not None:
        return _many(arguments.seeds, arguments.jobs, arguments.coverage, arguments.fault_class)
    try:
        plan = Plan.from_json(arguments.plan.read_text()) if arguments.plan else _drawn(arguments)
    except (OSError, ValueError) as error:
        print(f"{arguments.plan}: {error}", file=sys.stderr)
        return 2
    return _one(plan, arguments)


def _drawn(arguments: argparse.Namespace) -> Plan:
    name = arguments.fault_class
    return Plan.draw(arguments.seed, class_in_turn(arguments.seed) if name == EACH else name)


def _one(plan: Plan, arguments: argparse.Namespace) -> int:
    verdict = run_plan(plan)
    if verdict.failure is not None and arguments.shrink:
        print(verdict)
        verdict = shrink(verdict, lambda line: print(line, file=sys.stderr))
        print("\nThe smallest run found that breaks the same invariant:")
    if arguments.trace or (arguments.shrink and verdict.failure is not None):
        for operation in _history_of(verdict.plan, trace_to=print):
            print(operation)
    if arguments.save:
        arguments.save.write_text(verdict.plan.to_json())
    if arguments.history:
        arguments.history.write_text("".join(f"{operation.to_json()}\n" for operation in _history_of(verdict.plan)))
    print(verdict)
    if arguments.coverage:
        print(verdict.coverage.table())
    return 1 if verdict.failure is not None else 0


def _many(seeds: Iterable[int], jobs: int, with_coverage: bool, fault_class: str) -> int:
    total = Total()
    try:
        for verdict in run_seeds(seeds, jobs, fault_class):
            total.add(verdict)
            if verdict.failure is not None:
                print(verdict, flush=True)
                if len(total.failures) == FAILURES_MAX:
                    print(f"{FAILURES_MAX} failures are enough", flush=True)
                    break
            elif total.runs % PROGRESS_EVERY == 0:
                print(total.line(jobs), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    print(total.line(jobs))
    if total.classes():
        print(total.classes())
    if with_coverage:
        print(total.coverage.table())
    return 1 if total.failures else 0


def _history_of(plan: Plan, trace_to: Callable[[str], None] | None = None) -> list[Operation]:
    """Repeat a run, for its history and its trace."""
    run = Run(plan)
    run.cluster.world.trace.write_to = trace_to
    with contextlib.suppress(Exception):  # the verdict has reported it
        run.execute()
    return run.history


def _seeds(text: str) -> Iterable[int]:
    first, dots, end = text.partition("..")
    try:
        if dots:
            return range(int(first), int(end)) if end else itertools.count(int(first))
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"seeds are given as 0..1000, or 0.. without an end, not {text!r}")


if __name__ == "__main__":
    # `head` closes the pipe when it has enough lines: end without a traceback, as other programs do.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
