"""Reading what nodes show over HTTP."""

import asyncio
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from crdtkv.config.model import NodeConfig
from crdtkv.local.cluster import LocalCluster

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def node_named(cluster: LocalCluster, name: str) -> NodeConfig:
    found = cluster.config.find_node(name)
    assert found is not None
    return found[1]


async def page(cluster: LocalCluster, node: str, path: str) -> tuple[int, str, str]:
    """Return status, content type and body of a node's page."""
    config = node_named(cluster, node)
    url = f"http://{config.host}:{config.http_port}{path}"

    def fetch() -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.status, response.headers.get("content-type", ""), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get("content-type", ""), error.read().decode()

    return await asyncio.to_thread(fetch)


async def samples(cluster: LocalCluster, node: str) -> Samples:
    """Return every sample of a node's metrics by name and labels."""
    status, _, text = await page(cluster, node, "/metrics")
    assert status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def figure(cluster: LocalCluster, datacenter: str, name: str, **labels: str) -> float:
    """Return a sample added up over the nodes of a data center."""
    total = 0.0
    for node in cluster.config.datacenters[datacenter].nodes:
        total += (await samples(cluster, node.name)).get((name, frozenset(labels.items())), 0.0)
    return total
