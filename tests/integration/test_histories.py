"""Real processes under faults, judged by the very checkers that judge the simulator."""

import subprocess
import sys
from pathlib import Path

import pytest

from crdtkv import Client
from crdtkv.checking.history import Operation, read_lines
from crdtkv.checking.verdict import judge
from crdtkv.local.cluster import LocalCluster

from .recording import Recorder
from .waiting import nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]
NEEDS_OWN_CLUSTER = True


async def assert_good(here: Recorder, there: Recorder, eu: Client, us: Client, file: Path) -> None:
    """Let all heal, read everything everywhere, and have the history judged, by way of its file."""
    await nothing_lags(eu, us)
    await here.read_everything()
    await there.read_everything()
    judge_by_file(here.history + there.history, file)


def judge_by_file(history: list[Operation], file: Path) -> None:
    lines = [operation.to_json() for operation in sorted(history, key=lambda operation: operation.began)]
    file.write_text("\n".join(lines))
    assert [str(violation) for violation in judge(read_lines(lines))] == []
    command = [sys.executable, "-m", "crdtkv.checking", str(file)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


async def test_a_history_with_killed_nodes_holds_every_invariant(
    cluster: LocalCluster, eu: Client, us: Client, tmp_path: Path
) -> None:
    async with Recorder(eu, "killed", 1) as here, Recorder(us, "killed", 2) as there:
        for name in ("eu-2", "us-1"):
            await here.more(100)
            await cluster.nodes[name].kill()
            await here.more(100)
            await there.more(100)
            await cluster.start_node(name)
    await assert_good(here, there, eu, us, tmp_path / "history.jsonl")


async def test_a_history_with_a_cut_and_a_wiped_stream_holds_every_invariant(
    cluster: LocalCluster, eu: Client, us: Client, tmp_path: Path
) -> None:
    async with Recorder(eu, "cut", 3) as here, Recorder(us, "cut", 4) as there:
        await here.more(200)
        cluster.cut("eu", "us")
        await here.more(300)
        await there.more(300)
        await cluster.nats["eu"].stop()
        cluster.nats["eu"].wipe()
        await cluster.nats["eu"].start()
        cluster.heal("eu", "us")
        await here.more(200)
    await assert_good(here, there, eu, us, tmp_path / "history.jsonl")
