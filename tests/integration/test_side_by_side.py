"""`benchmarks/side_by_side.py`: it measures what is here, says what it skips, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "side_by_side.py"
FEW = ["--rounds", "1", "--workers", "4", "--records", "50", "--value-bytes", "20"]


async def start(*arguments: str | Path, temporary: Path) -> asyncio.subprocess.Process:
    environment = {**os.environ, "TMPDIR": str(temporary), "REDIS_SERVER": str(temporary / "none")}
    return await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, *FEW, *arguments, env=environment, stdout=PIPE, stderr=PIPE, start_new_session=True
    )


def processes_of(directory: Path) -> list[str]:
    """Return the command lines of all processes that have to do with a directory."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_text(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(directory) in line]


async def test_it_measures_what_is_here_and_tells_what_it_skips(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    systems = ["--systems", "crdtkv,redis,nats", "--workload", "a,e", "--seconds", "0.4", "--json", file]
    process = await start(*systems, temporary=tmp_path)
    out, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, err
    assert "skipped: Redis, WAIT 1: " in out
    assert "--redis-server" in out
    assert "skipped: NATS KV R3, workload e: NATS KV reads one key at a time" in out
    told = json.loads(file.read_text())
    rows = {(row["system"], row["workload"], row["operation"]): row for row in told["medians"]}
    assert set(rows) == {
        *(("crdtkv", "a", kind) for kind in ("read", "update", "all")),
        *(("crdtkv", "e", kind) for kind in ("scan", "insert", "all")),
        *(("NATS KV R3", "a", kind) for kind in ("read", "update", "all")),
    }
    assert [row["errors"] for row in rows.values()] == [0] * len(rows)
    for (system, _, kind), row in rows.items():
        if kind != "insert":  # of these there are few
            assert row["operations_per_s"] > 0
            assert 0 < row["p50_ms"] <= row["p99_ms"]
            assert row["ratio"] == 1 if system == "crdtkv" else row["ratio"] > 0
    mine, other = (rows[system, "a", "all"]["operations_per_s"] for system in ("crdtkv", "NATS KV R3"))
    assert rows["NATS KV R3", "a", "all"]["ratio"] == pytest.approx(other / mine)
    assert processes_of(tmp_path) == []
    assert os.listdir(tmp_path) == [file.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_stop_signal_ends_all_servers(tmp_path: Path, number: signal.Signals) -> None:
    process = await start("--systems", "nats", "--seconds", "60", temporary=tmp_path)
    while len(processes_of(tmp_path)) < 3:
        await asyncio.sleep(0.1)
        assert process.returncode is None
    process.send_signal(number)
    _, err = await process.communicate()
    assert "Traceback" not in err.decode()
    assert process.returncode == 1
    assert processes_of(tmp_path) == []
    assert os.listdir(tmp_path) == []
