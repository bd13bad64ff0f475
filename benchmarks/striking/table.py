"""The table of all runs, in Markdown."""

import statistics
from collections import Counter
from collections.abc import Iterable

from striking.run import Run

COLUMNS = (
    "fault",
    "runs",
    "said to be down s",
    "no more requests s",
    "goodput before /s",
    "worst second during, after /s",
    "longest silence s",
    "again ≥ 90 % after s",
    "seconds below 90 %",
    "slowest request s",
    "errors",
    "converged after s",
    "acknowledged writes lost",
    "violations",
)


def table(runs: list[Run]) -> str:
    """Return a row a fault; two figures with a slash are median and maximum, a worst second is that of all runs."""
    of_fault = {fault: [run for run in runs if run.fault == fault] for fault in sorted({run.fault for run in runs})}
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *(_cells(fault, some) for fault, some in of_fault.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def line(run: Run) -> str:
    """Return one run in a line."""
    goodput = run.goodput
    return (
        f"{run.fault} {run.number} ({run.node}): down after {run.down_s} s, everywhere {run.down_everywhere_s} s, "
        f"no requests after {run.unlinked_s} s; {goodput.before:g}/s before, then {goodput.by_second}, again after "
        f"{goodput.again_s} s, silence {goodput.longest_silence_s:.2f} s, slowest {run.slowest_s:.2f} s; errors "
        f"{run.errors or 'none'}; ready {run.ready_s:.1f} s and converged {run.converged_s:.1f} s after the fault "
        f"({run.differed} keys differed when the load ended); {run.writes} writes, {run.lost} lost; violations "
        f"{run.violations or 'none'}"
    )


def _cells(fault: str, runs: list[Run]) -> list[str]:
    goodputs = [run.goodput for run in runs]
    errors: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    for run in runs:
        errors.update(run.errors)
        violations.update(run.violations)
    return [
        fault,
        str(len(runs)),
        _spread(run.down_everywhere_s for run in runs),
        _spread(run.unlinked_s for run in runs),
        f"{statistics.median(goodput.before for goodput in goodputs):.0f}",
        f"{min(goodput.worst_during for goodput in goodputs)}, {min(goodput.worst_after for goodput in goodputs)}",
        _spread(goodput.longest_silence_s for goodput in goodputs),
        _spread(goodput.again_s for goodput in goodputs),
        _spread(goodput.seconds_below for goodput in goodputs),
        _spread(run.slowest_s for run in runs),
        _counted(errors),
        _spread(run.converged_s for run in runs),
        f"{sum(run.lost for run in runs)} of {sum(run.writes for run in runs):,}",
        _counted(violations),
    ]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"


def _spread(values: Iterable[float | None]) -> str:
    """Return median and maximum; "never" stands for events that did not occur."""
    known = sorted(float("inf") if value is None else float(value) for value in values)
    return " / ".join("never" if value == float("inf") else f"{value:.3g}" for value in (_middle(known), known[-1]))


def _middle(ordered: list[float]) -> float:
    return statistics.median_high(ordered) if ordered[-1] == float("inf") else statistics.median(ordered)
