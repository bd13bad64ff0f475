"""`python -m crdtkv.sim scale`: the costs of the product by its size.

python -m crdtkv.sim scale                                       10, 100 and 1,000 nodes; about two minutes
python -m crdtkv.sim scale --nodes 3,10,20 --loss 0.05 --jitter-ms 50
python -m crdtkv.sim scale --plot scaling.svg

Three parts, each with its own module: the gossip of one data center is simulated with the product's own membership
core; the ring is the product's own; the costs between data centers are computed from the product's rules. Equal
arguments give equal reports, except with `--time`, which adds the times and memory of building rings.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from crdtkv.node.membership.gossip import GossipSettings
from crdtkv.ring.token import MAX_PARTITIONS
from crdtkv.sim.scale import geo, gossip, plot, ring
from crdtkv.sim.scale.gossip import Conditions
from crdtkv.sim.scale.report import Report

MIN_SECONDS = 12.0
MAX_NODES = 5_000


def main(arguments: Sequence[str]) -> int:
    """Print the report; exit 0, or 2 on wrong arguments or if matplotlib is missing."""
    options = _parser().parse_args(arguments)
    if options.plot is not None and not plot.is_available():
        print("scale: --plot needs matplotlib: run pip install 'crdtkv[plot]'", file=sys.stderr)
        return 2
    report = _measure(options)
    print(report.to_json() if options.json else report.to_text())
    if options.plot is not None:
        plot.save(report, options.plot)
    return 0


def _measure(options: argparse.Namespace) -> Report:
    conditions = Conditions(options.seed, options.seconds, options.loss, options.jitter_ms / 1000)
    settings = GossipSettings(fanout=options.fanout, rows_max=options.rows_max)
    report = Report(conditions, settings)
    for nodes in options.nodes:
        _progress(f"{nodes} nodes …")
        report.gossip.append(gossip.measure(nodes, conditions, settings))
        for partitions in options.partitions:
            report.ring.append(ring.measure(nodes, partitions, options.seed, options.time))
    report.geo.extend(geo.compute(datacenters, options.nodes[0]) for datacenters in options.datacenters)
    _progress("")
    return report


def _progress(text: str) -> None:
    """Print the progress for people, and nothing if the output is not a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crdtkv.sim scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = GossipSettings()
    sizes = _counts(2, MAX_NODES)
    parser.add_argument("--nodes", type=sizes, default=[10, 100, 1000], metavar="N,…", help="10,100,1000")
    parser.add_argument("--datacenters", type=sizes, default=[2, 5, 10, 20], metavar="N,…", help="2,5,10,20")
    parser.add_argument("--partitions", type=_partitions, default=[256, 4096], metavar="N,…", help="256,4096")
    parser.add_argument("--seconds", type=_number(MIN_SECONDS, 3600), default=30.0, help="of one run (30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loss", type=_number(0, 0.5), default=0.0, help="share of messages that are lost (0)")
    parser.add_argument("--jitter-ms", type=_number(0, 1000), default=0.0, help="up to so much more delay (0)")
    parser.add_argument("--fanout", type=_count(1, 16), default=default.fanout, help=f"({default.fanout})")
    parser.add_argument("--rows-max", type=_count(1, 65_536), default=default.rows_max, help=f"({default.rows_max})")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw it as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--time", action="store_true", help="add times and memory; they differ from run to run")
    return parser


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return number


def _count(low: int, high: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        return int(_number(low, high)(str(int(text))))

    return count


def _counts(low: int, high: int) -> Callable[[str], list[int]]:
    def counts(text: str) -> list[int]:
        return sorted({_count(low, high)(part) for part in text.split(",")})

    return counts


def _partitions(text: str) -> list[int]:
    values = _counts(1, MAX_PARTITIONS)(text)
    if any(value & (value - 1) for value in values):
        raise argparse.ArgumentTypeError(f"{text}: partitions are powers of two")
    return values
