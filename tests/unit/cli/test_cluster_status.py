"""`crdtkv status`, `lag` and `hints` with nodes that have another configuration, or report less."""

from typing import Any

from crdtkv.cli.cluster_status import (
    _compared_s,
    _comparing,
    _drift,
    _lag_rows,
    _seen_by_others,
    _status_row,
    _versions,
    comparisons_left,
    strangers,
)
from crdtkv.cli.repair import _hint_rows
from crdtkv.config.loader import parse

CONFIG = parse("""
datacenters:
  eu:
    nats: { url: nats://eu }
    nodes: [{ name: eu-1, port: 1, http_port: 2 }, { name: eu-2, port: 3, http_port: 4 }]
  us: { nats: { url: nats://us }, nodes: [{ name: us-1, port: 5, http_port: 6 }] }
  ap: { nats: { url: nats://ap }, nodes: [{ name: ap-1, port: 7, http_port: 8 }] }
""")


def node(rows: int = 0, peers: tuple[str, ...] = ("us",)) -> dict[str, Any]:
    return {"lag": {peer: {"rows": rows, "age_s": 1.5, "is_complete": True} for peer in peers}}


def test_a_data_center_that_running_nodes_do_not_know_is_told_with_them_and_is_never_equal() -> None:
    told = {
        "eu": {"eu-1": node(2), "eu-2": node(peers=("us", "ap"))},
        "us": {"us-1": node(peers=("eu",))},
        "ap": {"ap-1": None},
    }
    assert strangers(CONFIG, told) == {"ap": ["eu-1", "us-1"]}
    rows = {(row[0], row[1]): row[2:] for row in _lag_rows(CONFIG, told)}
    assert rows["eu", "us"] == (2, 1.5, 0, True, None)
    assert rows["eu", "ap"] == (0, 1.5, 1, True, None)
    assert rows["us", "ap"] == (0, 0.0, 1, True, None)
    assert rows["ap", "eu"] == (0, 0.0, 1, True, None)


PAIR = parse("""
datacenters:
  eu: { nats: { url: nats://eu }, nodes: [{ name: eu-1, port: 1, http_port: 2 }] }
  us:
    nats: { url: nats://us }
    nodes: [{ name: us-1, port: 5, http_port: 6 }, { name: us-2, port: 7, http_port: 8 }]
""")


def complete(eu: dict[str, Any], *us: dict[str, Any] | None) -> bool:
    """Tell whether us is taken for complete, as eu sees it."""
    there = {"us-1": us[0], "us-2": us[1]}
    rows = {(row[0], row[1]): row[5] for row in _lag_rows(PAIR, {"eu": {"eu-1": node() | eu}, "us": there})}
    return rows["eu", "us"]


def compared(**left: int) -> dict[str, Any]:
    """Return the status of a node in a session with us."""
    is_marked = {"lag": {"us": {"rows": 0, "age_s": 0.0, "is_complete": False}}}
    return {**is_marked, "comparing_elsewhere": {"us": {"left": left, "compared_s": None}}}


def test_what_is_left_to_compare_counts_down_to_the_end_of_the_mark() -> None:
    assert comparisons_left(compared(**{"us-1": 200, "us-2": 56}), "us") == 256
    assert comparisons_left(compared(), "us") == 1  # the session has not begun, or has just ended
    assert comparisons_left(node(), "us") == 0
    assert comparisons_left({}, "us") == 0


def test_a_person_is_told_who_compares_what() -> None:
    told = {"eu": {"eu-1": compared(**{"us-1": 1200})}, "us": {"us-1": node(peers=("eu",))}}
    assert _comparing(told, "eu", "us") == (
        "all entries are being compared (comparisons of partitions to go: eu-1 1,200)"
    )
    assert _comparing({"eu": {"eu-1": node()}, "us": {"us-1": None}}, "eu", "us") == "no node of us counts yet"


def test_the_age_of_a_comparison_is_that_of_the_node_that_is_behind() -> None:
    ages = ({"comparing_elsewhere": {"us": {"left": {}, "compared_s": age}}} for age in (3.0, 12.5))
    assert _compared_s(list(ages), "us") == 12.5
    assert _compared_s([{"comparing_elsewhere": {"us": {"left": {}, "compared_s": 1.0}}}, {}], "us") is None
    assert _compared_s([], "us") is None


def test_a_data_center_is_not_complete_while_it_waits_to_be_filled_or_is_compared() -> None:
    other = node(peers=("eu",))
    assert complete({}, other, other)
    assert complete({}, other, None)
    assert not complete({"lag": {"us": {"rows": 0, "age_s": 0.0, "is_complete": False}}}, other, other)
    assert not complete({}, other, other | {"unfilled": ["eu"]})
    assert complete({}, other, other | {"unfilled": ["ap"]})


def test_a_data_center_in_which_nobody_counts_is_not_complete() -> None:
    learner, member = ({"standing": word, **node(peers=("eu",))} for word in ("learner", "member"))
    assert not complete({}, learner, learner)
    assert complete({}, learner, member)


def test_a_difference_between_file_and_ring_is_told_once() -> None:
    one = {"config_differs": ["address of eu-1: agreed a:1, configured a:2"]}
    told: dict[str, dict[str, dict[str, Any] | None]] = {"eu": {"eu-1": one, "eu-2": one, "eu-3": None}}
    assert _drift(told) == [("eu-1", "address of eu-1: agreed a:1, configured a:2")]


def test_the_version_is_told_once_if_all_nodes_run_it_and_with_its_nodes_if_not() -> None:
    one, other = {"version": "0.1.0", "build": "compiled"}, {"version": "0.1.0", "build": "interpreted"}
    told: dict[str, dict[str, dict[str, Any] | None]] = {"eu": {"eu-1": one, "eu-2": one, "eu-3": None}}
    assert _versions(told) == "version 0.1.0 (compiled)"
    told["us"] = {"us-1": other, "us-2": {}}
    assert _versions(told) == "version 0.1.0 (compiled): eu-1 eu-2, version 0.1.0 (interpreted): us-1"


def test_a_node_that_tells_less_than_today_is_shown_as_far_as_it_goes() -> None:
    older: dict[str, Any] = {"epoch": 3}
    assert _status_row("eu", "eu-1", older, "") == [
        *("eu", "eu-1", "up", None, None, 3, "none", "down", None, 0, None, "none")
    ]
    assert _seen_by_others("eu-1", {"eu-1": older, "eu-2": older}) == ""
    assert _hint_rows("eu", {"eu-1": older, "eu-2": None}) == []
    assert strangers(CONFIG, {"eu": {"eu-1": older}}) == {"us": ["eu-1"], "ap": ["eu-1"]}


def test_a_node_the_others_do_not_know_yet_is_shown_without_their_word() -> None:
    knows: dict[str, Any] = {"members": {"eu-1": {"state": "alive"}}}
    assert _seen_by_others("eu-9", {"eu-9": knows, "eu-1": knows}) == ""
    assert _seen_by_others("eu-1", {"eu-9": knows, "eu-1": knows}) == "alive"
