"""The values for the official chart of NATS: they fit `datacenters.yaml`, and make a server that nodes accept.

The chart itself is not here. What it does with these values is written down from its templates: it makes JSON of them,
and takes the quotes off what stands in `<< >>`.
"""

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crdtkv.bus.connection import check_server, connect
from crdtkv.config.loader import load
from crdtkv.config.model import NatsConfig
from crdtkv.errors import BusError
from crdtkv.local.nats_server import binary
from crdtkv.local.ports import on_free_ports
from crdtkv.local.processes import Child

from . import manifests
from .manifests import Object

CONFIG = load(manifests.CONFIGURATION)
VALUES = manifests.read(manifests.DIRECTORY / "nats-values.yaml")["config"]

START_TIMEOUT_S = 20


@pytest.mark.parametrize("datacenter", manifests.OVERLAYS)
def test_nats_is_where_the_chart_puts_it(datacenter: str) -> None:
    """The release `nats` makes the Services `nats`, with 4222, and `nats-headless`, with the monitoring port, too."""
    namespace = manifests.of(datacenter)[0]["metadata"]["namespace"]
    nats = CONFIG.datacenters[datacenter].nats
    assert nats.url == f"nats://nats.{namespace}.svc.cluster.local:4222"
    assert nats.monitor_url == f"http://nats-headless.{namespace}.svc.cluster.local:{VALUES['monitor']['port']}"
    assert VALUES["monitor"]["enabled"] is True


def test_one_server_keeps_streams_on_a_disk_of_its_own_and_acknowledges_what_it_has_fsynced() -> None:
    assert VALUES["cluster"]["enabled"] is False
    assert VALUES["jetstream"]["enabled"] is True
    assert VALUES["jetstream"]["fileStore"]["pvc"]["enabled"] is True
    assert VALUES["jetstream"]["merge"] == {"sync_interval": "always"}


def configuration(values: Object, nats: NatsConfig, directory: Path) -> str:
    """Return the server's configuration as the chart writes it, but for addresses and directory."""
    fields = {
        "host": "127.0.0.1",
        "port": urlsplit(nats.url).port,
        "http_port": urlsplit(nats.monitor_url or "").port,
        "jetstream": {
            "store_dir": str(directory),
            "max_memory_store": 0,
            "max_file_store": f"<< {values['jetstream']['fileStore']['maxSize']} >>",
            **values["jetstream"]["merge"],
        },
        **values["merge"],
    }
    return re.sub(r'"<<\s+(.*?)\s+>>"', r"\1", json.dumps(fields, indent=2))


async def check(values: Object, directory: Path) -> None:
    """Run a server with these values, and check it as a node does when it connects."""
    nats = on_free_ports(CONFIG).datacenters["eu"].nats
    file = directory / "nats.conf"
    file.write_text(configuration(values, nats, directory))
    server = Child("nats", [binary(), "-c", file], directory / "nats.log")
    await server.start()
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            client = await connect(nats.url, "test")
            try:
                await check_server(client, nats.url, nats.monitor_url, 4 * 1024 * 1024)
            finally:
                await client.close()
    finally:
        await server.stop()


async def test_nodes_accept_a_server_with_these_values(tmp_path: Path) -> None:
    await check(VALUES, tmp_path)


async def test_nodes_refuse_a_server_with_the_default_payload(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="max_payload is"):
        await check({**VALUES, "merge": {}}, tmp_path)


async def test_nodes_refuse_a_server_that_syncs_later(tmp_path: Path) -> None:
    values = {**VALUES, "jetstream": {**VALUES["jetstream"], "merge": {}}}
    with pytest.raises(BusError, match="before it has fsynced"):
        await check(values, tmp_path)
