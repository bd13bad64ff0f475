"""`node`, `up`, `demo`: run nodes and whole clusters."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from crdtkv.cli.options import ConfigFile
from crdtkv.cli.output import EXIT_CALL, complain, say
from crdtkv.config.loader import dump, load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError, CrdtkvError, DamagedStore, StorageError

if TYPE_CHECKING:
    from crdtkv.server.node_server import NodeServer

T = TypeVar("T")

#: The result of `_serve` if the node should restart as a new process: a damaged database cannot be closed.
_AGAIN = -1


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(demo)
    app.command()(up)
    app.command()(node)


def node(
    name: Annotated[str, typer.Argument(help="The node's name in the configuration.")],
    config: ConfigFile = Path("datacenters.yaml"),
    data: Annotated[
        Path | None, typer.Option(envvar="CRDTKV_DATA", help="Its data directory; default crdtkv-data/NAME.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            envvar="CRDTKV_LISTEN",
            help="The address to listen on, default the node's host in the configuration; 0.0.0.0 in a container.",
        ),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Run without TLS; only on loopback addresses.")] = False,
    insecure_network: Annotated[
        bool,
        typer.Option(
            "--insecure-network",
            help="Run without TLS on a private network: every process on it can read and write everything.",
        ),
    ] = False,
    log_format: Annotated[str, typer.Option(help="'text' for people or 'json' for programs.")] = "text",
) -> None:
    """Run one node of the cluster, until SIGTERM or Ctrl-C."""
    if log_format not in ("text", "json"):
        raise ConfigError("--log-format is 'text' or 'json'")
    cluster_config = load(config)
    found = cluster_config.find_node(name)
    if found is not None:
        _require_openness(listen or found[1].host, insecure, insecure_network)
    _log_to_stderr(log_format, name)
    if insecure_network:
        logging.getLogger("crdtkv.node").warning(
            "this node runs open, without TLS and keys: every process on its network can read and write everything"
        )
    sys.setswitchinterval(0.001)  # the fsync thread gets the interpreter back sooner
    os.umask(0o077)
    code = run_loop(_serve(cluster_config, name, data or Path("crdtkv-data") / name, listen))
    if code == _AGAIN:
        os.execv(sys.executable, [sys.executable, "-m", "crdtkv.cli", *sys.argv[1:]])  # noqa: S606 - this very command
    raise typer.Exit(code)


def up(
    config: ConfigFile = Path("datacenters.yaml"),
    data: Annotated[Path, typer.Option(help="The directory of the cluster's data.")] = Path("crdtkv-data"),
    cuttable: Annotated[bool, typer.Option("--cuttable", help="Allow `crdtkv cut` to cut links.")] = False,
) -> None:
    """Run the whole cluster of a configuration on this machine, until Ctrl-C."""
    os.umask(0o077)
    cluster_config = load(config)
    _require_another_file(config, data, cluster_config)
    if (warning := _open_directory(data)) is not None:
        complain(warning)
    run_loop(_up(cluster_config, data, str(config), cuttable))


def demo(
    config: ConfigFile = Path("datacenters.yaml"),
    keep: Annotated[Path | None, typer.Option(help="Keep the cluster's data and logs in this directory.")] = None,
) -> None:
    """Demonstrate crdtkv: start a cluster, cut its links, heal them, kill a node; about half a minute."""
    from crdtkv.cli.demonstration import Demonstration
    from crdtkv.local.ports import on_free_ports

    os.umask(0o077)
    moved = on_free_ports(load(config))
    if len(moved.datacenters) < 2:
        raise ConfigError("the demonstration needs a configuration with at least two data centers")
    if keep is not None:
        run_loop(Demonstration(moved, keep).run())
        return
    with tempfile.TemporaryDirectory(prefix="crdtkv-demo-") as directory:
        run_loop(Demonstration(moved, Path(directory)).run())


async def _serve(config: ClusterConfig, name: str, data: Path, listen: str | None) -> int:
    from crdtkv.server.node_server import NodeServer
    from crdtkv.storage.directory_lock import holding

    server = NodeServer(config, name, data, listen)
    try:
        with holding(data, f"crdtkv node {name}"):
            if (warning := _open_directory(data)) is not None:
                logging.getLogger("crdtkv.node").warning("%s", warning)
            return await _serve_until_told(server, name)
    except StorageError as error:  # the directory cannot be used
        complain(f"{name}: {error}")
        return EXIT_CALL


async def _serve_until_told(server: "NodeServer", name: str) -> int:
    stopping = _stop_signal()
    starting = asyncio.ensure_future(server.start())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        await starting
        ends: list[asyncio.Future[Any]] = [server.failed, stopping]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not server.failed.done():
            draining: asyncio.Future[Any] = asyncio.ensure_future(server.drain())
            ends = [server.failed, draining]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()
        if server.failed.done():
            raise server.failed.result()
    except CrdtkvError as error:
        if isinstance(error, DamagedStore) and server.failed.done():
            complain(f"{name}: {error}: restarting with an empty store, which other replicas fill")
            return _AGAIN
        complain(f"{name}: {error}")
        return EXIT_CALL
    finally:
        await server.stop()
    return 0


async def _up(config: ClusterConfig, data: Path, config_path: str, cuttable: bool) -> None:
    from crdtkv.local.cluster import LocalCluster
    from crdtkv.local.partitions import Cuts

    stopping = _stop_signal()
    say(f"starting {len(config.datacenters)} data centers under {data}/ (open, without TLS, on loopback only) …")
    began = time.monotonic()
    cluster = LocalCluster(config, data, cuttable)
    cuts = Cuts(data) if cuttable else None
    starting = asyncio.ensure_future(cluster.start())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        await starting
        say(f"ready after {time.monotonic() - began:.1f} s\n")
        _explain(config, config_path)
        cuts_task = None
        if cuts is not None:
            cuts.prepare()
            cuts_task = asyncio.create_task(cuts.carry_out(cluster))
        await _watch(cluster, stopping)
        if cuts_task is not None and cuts is not None:
            cuts_task.cancel()
            cuts.end()
    finally:
        has_begun = bool(cluster.nodes)
        if has_begun:
            say("stopping …")
        await cluster.stop()
        if has_begun:
            say("stopped; the data is kept, `crdtkv up` continues with it")


def _explain(config: ClusterConfig, config_path: str) -> None:
    """Print how to use the cluster."""
    for dc, dc_config in config.datacenters.items():
        nodes = "  ".join(f"{one.name} {one.host}:{one.port}" for one in dc_config.nodes)
        say(f"  {dc}: {nodes}  NATS {dc_config.nats.url}")
    first, *others = config.datacenters
    other = others[0] if others else first
    one = config.datacenters[first].nodes[0]
    where = "" if config_path == "datacenters.yaml" else f" --config {config_path}"
    say(
        f"\ntry, in another terminal:\n"
        f"  crdtkv put user:1 '{json.dumps({'name': 'Ada'})}' --dc {first}{where}\n"
        f"  crdtkv get user:1 --dc {other}{where}\n"
        f"  crdtkv incr views 3 --dc {first}{where}\n"
        f"  crdtkv status{where}     crdtkv lag{where}     crdtkv ring --key user:1{where}\n"
        f"  nats --server {config.datacenters[first].nats.url} stream view CRDTKV_{config.cluster}_{first} "
        f"--translate 'crdtkv decode'\n"
        f"  curl http://{one.host}:{one.http_port}/metrics\n\n"
        f"Ctrl-C stops everything."
    )


async def _watch(cluster, stopping) -> None:  # type: ignore[no-untyped-def]
    """Restart nodes whose process has ended (a user may kill one), and print that; until the stop signal."""
    running = dict.fromkeys(cluster.nodes, True)
    while not stopping.done():
        await asyncio.wait([stopping], timeout=0.5)
        for name, child in cluster.nodes.items():
            if running[name] and not child.is_running:
                running[name] = False
                say(f"{name} has ended; restarting it")
                with contextlib.suppress(CrdtkvError):
                    await cluster.start_node(name)
                running[name] = child.is_running
                say(f"{name} {'is ready again' if running[name] else 'does not start: ' + child.last_words(1)}")


def _stop_signal() -> "asyncio.Future[None]":
    """Return a future that SIGTERM and Ctrl-C complete."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopping.done():
            stopping.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping


def _require_another_file(config_path: Path, data: Path, config: ClusterConfig) -> None:
    """Keep `up` from overwriting the user's configuration file with its own.

    Raises:
        ConfigError: they are the same file.
    """
    from crdtkv.local.directory import CONFIGURATION

    own = data / CONFIGURATION
    if own.exists() and own.samefile(config_path) and own.read_text(encoding="utf-8") != dump(config):
        raise ConfigError(f"{config_path}: would be overwritten by `crdtkv up`: choose another --data directory")


def _open_directory(data: Path) -> str | None:
    """Return a warning if others than its owner may read or write a data directory."""
    from crdtkv.storage.files import open_to_others

    mode = open_to_others(data) if data.is_dir() else None
    if mode is None:
        return None
    return f"{data}: its group or others may read or write the stored data (mode {mode}): chmod -R go= {data}"


def _require_openness(address: str, insecure: bool, insecure_network: bool) -> None:
    """Allow a node to run without TLS only if that was requested.

    Raises:
        ConfigError: it was not.
    """
    if insecure_network or (insecure and _is_loopback(address)):
        return
    raise ConfigError(
        "this version does not support TLS yet: listen on a loopback address with --insecure, or, on a network where "
        "every process may read and write everything, use --insecure-network"
        + (f" ({address} is not loopback)" if insecure else "")
    )


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class _JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": record.created, "level": record.levelname.lower(), "logger": record.name}
        fields["message"] = record.getMessage()
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _log_to_stderr(log_format: str, name: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter(f"%(asctime)s {name} %(levelname)s %(message)s")
    handler.setFormatter(_JsonLines() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("nats").setLevel(logging.CRITICAL)


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, on uvloop when it is installed."""
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
