"""Scale, simulated and computed: gossip detects failed nodes, without false alarms; the report has all figures."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from crdtkv.node.membership.gossip import GossipPush, GossipReply, GossipSettings
from crdtkv.node.membership.member import Load, Member
from crdtkv.node.membership.membership import _parsed
from crdtkv.sim.scale import command as scale
from crdtkv.sim.scale import geo as scale_geo
from crdtkv.sim.scale import gossip as scale_gossip
from crdtkv.sim.scale import report as scale_report
from crdtkv.sim.scale import ring as scale_ring
from crdtkv.sim.scale.gossip import Conditions, GossipRun
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import MembersPush, MembersReply

SMALL = ["--nodes", "10", "--partitions", "256", "--datacenters", "2,3", "--seconds", "12"]
BAD_LINKS = Conditions(seed=1, seconds=30, loss=0.05, jitter_s=0.05)


def report_in_a_process_of_its_own(hash_seed: str, seed: str = "7") -> str:
    command = [sys.executable, "-m", "crdtkv.sim", "scale", *SMALL, "--seed", seed, "--loss", "0.05", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_same_seed_gives_the_same_report_under_different_hash_seeds() -> None:
    assert report_in_a_process_of_its_own("0") == report_in_a_process_of_its_own("4711")


def test_different_seeds_give_different_runs() -> None:
    runs = [scale_gossip.measure(10, Conditions(seed=seed, seconds=12), GossipSettings()) for seed in (1, 2)]
    assert runs[0] != runs[1]


@pytest.mark.parametrize("nodes", [3, 5, 10, 20])
def test_a_killed_node_is_down_for_all_within_two_seconds_and_a_black_holed_one_within_five(nodes: int) -> None:
    figures = scale_gossip.measure(nodes, Conditions(seed=1), GossipSettings())
    assert figures.undetected == 0
    assert figures.killed_max_s is not None
    assert figures.killed_max_s <= 2.0
    assert figures.silent_max_s is not None
    assert figures.silent_max_s <= 5.0


@pytest.mark.parametrize("nodes", [3, 10, 20])
def test_links_that_lose_every_twentieth_message_delay_that_little(nodes: int) -> None:
    """Over many runs of 20 nodes the latest of 760 observers needs 2.04 s for a killed node."""
    figures = scale_gossip.measure(nodes, BAD_LINKS, GossipSettings())
    assert figures.undetected == 0
    assert figures.killed_max_s is not None
    assert figures.killed_max_s <= 2.1
    assert figures.silent_max_s is not None
    assert figures.silent_max_s <= 5.0


@pytest.mark.parametrize("nodes", [3, 5, 12])
def test_no_node_is_taken_for_down_in_ten_minutes_of_bad_links(nodes: int) -> None:
    run = GossipRun(nodes, 0, dataclasses.replace(BAD_LINKS, seconds=600), GossipSettings())
    run.execute_quietly()
    assert (run.opinions.false_suspicions, run.opinions.false_alarms) == (0, 0)


def test_no_node_is_taken_for_down_in_two_minutes_of_fifty_nodes_on_bad_links() -> None:
    run = GossipRun(50, 0, dataclasses.replace(BAD_LINKS, seconds=120), GossipSettings())
    run.execute_quietly()
    assert (run.opinions.false_suspicions, run.opinions.false_alarms) == (0, 0)


def test_a_detector_that_waits_too_shortly_is_caught() -> None:
    """Otherwise the two tests above would prove little."""
    hasty = dataclasses.replace(GossipSettings().detector, suspect_base_s=0.4, suspect_per_doubling_s=0.0)
    run = GossipRun(12, 0, dataclasses.replace(BAD_LINKS, seconds=60), GossipSettings(detector=hasty))
    run.execute_quietly()
    assert run.opinions.false_suspicions > 0
    assert run.opinions.false_alarms > 0


@pytest.mark.parametrize("count", [0, 1, 23, 24, 300])
@pytest.mark.parametrize("kind", [GossipPush, GossipReply])
def test_the_bytes_that_are_counted_are_those_of_a_message_that_a_node_reads(
    count: int, kind: type[GossipPush | GossipReply]
) -> None:
    random = Random(count)
    rows = [
        Member(
            f"eu-{number}",
            random.randrange(300),
            random.randrange(100_000),
            random.getrandbits(64),
            Load(random.randrange(70_000), 3, 900, 40),
            ("eu-1", "eu-2")[: random.randrange(3)],
        )
        for number in range(count)
    ]
    frame = scale_gossip.encoded(kind(rows))
    assert scale_gossip.frame_bytes(kind(rows)) == len(frame)
    (message,) = decode_frame(frame[4:]).messages
    assert type(message) is {GossipPush: MembersPush, GossipReply: MembersReply}[kind]
    assert _parsed(message.rows) == rows


def test_with_fewer_slots_than_nodes_some_nodes_hold_nothing_and_more_partitions_help() -> None:
    few, many = (scale_ring.measure(300, partitions, 0) for partitions in (64, 1024))
    assert few.without_data >= 300 - 64 * 3
    assert many.without_data == 0
    assert many.max_to_mean < few.max_to_mean


def test_a_node_that_joins_or_leaves_moves_about_its_share() -> None:
    figures = scale_ring.measure(20, 4096, 0)
    assert figures.moved_by_joining == pytest.approx(figures.ideal_joining, rel=0.1)
    assert figures.moved_by_leaving == pytest.approx(figures.ideal_leaving, rel=0.1)


def test_what_data_centers_cost_grows_with_their_number() -> None:
    few, many = (scale_geo.compute(datacenters, 10) for datacenters in (2, 20))
    assert (few.connections_of_a_node, many.connections_of_a_node) == (2, 20)
    assert (few.consumers_of_a_stream, many.consumers_of_a_stream) == (1, 19)
    assert (few.copies_of_a_write, many.copies_of_a_write) == (1, 19)
    assert (few.idle_requests_of_a_node_per_s, many.idle_requests_of_a_node_per_s) == (3.5, 48.5)
    assert many.sent_bytes_key_of_one == pytest.approx(19 * few.sent_bytes_key_of_one, rel=0.01)
    assert many.sent_bytes_key_of_all > 19 * few.sent_bytes_key_of_all


def test_the_report_shows_every_figure_in_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    for lines, figures in (
        (scale_report.GOSSIP_LINES, scale_gossip.GossipFigures),
        (scale_report.RING_LINES, scale_ring.RingFigures),
        (scale_report.GEO_LINES, scale_geo.GeoFigures),
    ):
        shown = {field for _, field, _ in lines}
        assert {field.name for field in dataclasses.fields(figures)} <= shown | {"nodes"}
    assert scale.main([*SMALL, "--time"]) == 0
    text = capsys.readouterr().out
    for name, _, _ in [*scale_report.GOSSIP_LINES, *scale_report.RING_LINES, *scale_report.GEO_LINES]:
        assert f"\n{name}" in text


def test_the_report_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main([*SMALL, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["nodes"] for one in document["gossip"]] == [10]
    assert [one["datacenters"] for one in document["geo"]] == [2, 3]
    assert document["ring"][0]["build_s"] is None


def test_plotting_without_matplotlib_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert scale.main([*SMALL, "--plot", str(tmp_path / "scaling.svg")]) == 2
    assert capsys.readouterr().err == "scale: --plot needs matplotlib: run pip install 'crdtkv[plot]'\n"


def test_the_plot_is_the_same_for_the_same_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'crdtkv[plot]'")
    paths = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in paths:
        assert scale.main([*SMALL, "--plot", str(path)]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"black-holed" in paths[0].read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [["--nodes", "1"], ["--nodes", "ten"], ["--partitions", "100"], ["--loss", "2"], ["--seconds", "1"], ["extra"]],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scale.main(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err
