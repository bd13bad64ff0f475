"""The report on scale as a drawing. Only this module imports matplotlib, and only when it draws."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crdtkv.sim.scale.report import Report

_WIDTH_IN, _HEIGHT_IN = 10.0, 7.0


def is_available() -> bool:
    """Tell whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def save(report: Report, path: Path) -> None:
    """Write the drawing; the same report gives the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra that few need
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "crdtkv", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
        (traffic, detection), (balance, geo) = figure.subplots(2, 2)
        _draw_traffic(traffic, report)
        _draw_detection(detection, report)
        _draw_balance(balance, report)
        _draw_geo(geo, report)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_traffic(axes: Any, report: Report) -> None:
    nodes = [one.nodes for one in report.gossip]
    axes.plot(nodes, [one.sent_bytes_per_s / 1000 for one in report.gossip], "o-", label="sent by a node")
    axes.plot(nodes, [one.busiest_bytes_per_s / 1000 for one in report.gossip], "^:", label="both ways, busiest node")
    axes.set(title="Gossip (simulated)", ylabel="kB/s", yscale="log")
    _label_nodes(axes, nodes)


def _draw_detection(axes: Any, report: Report) -> None:
    nodes = [one.nodes for one in report.gossip]
    for kind, color, name in (("killed", "C0", "killed"), ("silent", "C3", "black-holed")):
        axes.plot(nodes, [getattr(one, f"{kind}_median_s") for one in report.gossip], "o-", color=color, label=name)
        latest = [getattr(one, f"{kind}_max_s") for one in report.gossip]
        axes.plot(nodes, latest, "^:", color=color, label=f"{name}, by all")
    axes.set(title="Seen down (simulated)", ylabel="seconds")
    axes.margins(y=0.4)  # room for the legend
    axes.set_ylim(bottom=0)
    _label_nodes(axes, nodes)


def _draw_balance(axes: Any, report: Report) -> None:
    for index, partitions in enumerate(sorted({one.partitions for one in report.ring})):
        rings = [one for one in report.ring if one.partitions == partitions]
        nodes = [one.nodes for one in rings]
        name = f"{partitions:,} partitions"
        axes.plot(nodes, [one.max_to_mean for one in rings], "^-", color=f"C{index}", label=f"{name}: fullest")
        axes.plot(nodes, [one.min_to_mean for one in rings], "v:", color=f"C{index}", label="emptiest")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(title="Load of nodes (the product's ring)", ylabel="load / mean")
    _label_nodes(axes, sorted({one.nodes for one in report.ring}))


def _draw_geo(axes: Any, report: Report) -> None:
    datacenters = [one.datacenters for one in report.geo]
    for field, name in (
        ("idle_requests_of_a_node_per_s", "idle requests/s of a node"),
        ("connections_of_a_node", "NATS connections of a node"),
        ("copies_of_a_write", "copies of a write that leave"),
    ):
        axes.plot(datacenters, [getattr(one, field) for one in report.geo], "o-", label=name)
    axes.set(title="Between data centers (computed)", xlabel="data centers")
    axes.set_xticks(datacenters)
    axes.legend()


def _label_nodes(axes: Any, nodes: list[int]) -> None:
    axes.set(xlabel="nodes per data center", xscale="log")
    axes.set_xticks(nodes, [f"{count:,}" for count in nodes])
    axes.minorticks_off()
    axes.legend()
