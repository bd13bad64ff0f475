"""The results of all rounds, as medians and ratios: a table in Markdown, and plain data for JSON."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from peers.rounds import Cell, Figures, Result

MEASURE = "crdtkv"
#: With which of crdtkv's variants an operation is compared, where it has several.
COMPARED = {"get": "ONE"}
COLUMNS = (
    "operation",
    "workers",
    "system",
    "ops/s",
    "least to most",
    "ratio to crdtkv",
    "p50 ms",
    "p99 ms",
    "client µs/op",
    "servers µs/op",
    "other cores",
    "errors",
)


class Row(NamedTuple):
    """One system in one cell: medians over the rounds; the ratio is the median of the ratios in each round."""

    system: str
    cell: Cell
    figures: Figures
    least: float
    most: float
    ratio: float
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        plain = {**self.cell._asdict(), "system": self.system, **asdict(self.figures)}
        plain |= {"least": self.least, "most": self.most, "ratio": self.ratio, "rounds": self.rounds}
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value for name, value in plain.items()
        }


def summarized(results: Sequence[Result]) -> list[Row]:
    """Return a row for each system and cell: cell by cell, in the order in which they came first."""
    by_place: dict[tuple[str, Cell], list[Result]] = {}
    for result in results:
        by_place.setdefault((result.system, result.cell), []).append(result)
    measures = {(one.round, one.cell): one.figures.operations_per_s for one in results if one.system == MEASURE}
    order = list(dict.fromkeys((cell.workload, cell.operation, cell.workers) for _, cell in by_place))
    rows = [_row(system, cell, some, measures) for (system, cell), some in by_place.items()]
    return sorted(rows, key=lambda row: order.index((row.cell.workload, row.cell.operation, row.cell.workers)))


def table(rows: Sequence[Row]) -> str:
    """Return the rows in Markdown."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(system: str, cell: Cell, results: Sequence[Result], measures: dict[tuple[int, Cell], float]) -> Row:
    rates = [one.figures.operations_per_s for one in results]
    ratios = [
        one.figures.operations_per_s / measure for one in results if (measure := _measure_of(measures, one.round, cell))
    ]
    ratio = statistics.median(ratios) if ratios else math.nan
    return Row(system, cell, _medians(results), min(rates), max(rates), ratio, len(results))


def _measure_of(measures: dict[tuple[int, Cell], float], number: int, cell: Cell) -> float | None:
    """Return what crdtkv did in that round: at the level the operation is compared at, or at the only one."""
    level = COMPARED.get(cell.operation, "LOCAL_QUORUM")
    return measures.get((number, cell._replace(variant=level)))


def _medians(results: Sequence[Result]) -> Figures:
    def median(of: Callable[[Figures], float]) -> float:
        return statistics.median(of(one.figures) for one in results)

    return Figures(
        median(lambda one: one.operations_per_s),
        median(lambda one: one.p50_ms),
        median(lambda one: one.p99_ms),
        median(lambda one: one.client_cpu_us),
        median(lambda one: one.server_cpu_us),
        median(lambda one: one.other_cores),
        sum(one.figures.errors for one in results),
    )


def _cells(row: Row) -> list[str]:
    cell, figures = row.cell, row.figures
    return [
        f"{cell.workload} {cell.operation}".lstrip(),
        str(cell.workers),
        f"{row.system} {cell.variant}".rstrip(),
        f"{figures.operations_per_s:,.0f}",
        f"{row.least:,.0f} to {row.most:,.0f}",
        _number(row.ratio, ".2f"),
        _number(figures.p50_ms, ".2f"),
        _number(figures.p99_ms, ".1f"),
        _number(figures.client_cpu_us, ",.0f"),
        _number(figures.server_cpu_us, ",.0f"),
        _number(figures.other_cores, ".2f"),
        str(figures.errors),
    ]


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
