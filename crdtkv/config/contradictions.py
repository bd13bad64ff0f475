"""Contradictions between the fields of a configuration: one address with two uses. Pure.

The addresses of all nodes must be distinct, because clients may reach every data center. The addresses of NATS servers
must be distinct as one data center sees them: two servers in separate networks may have the same address there, if
`url_from` gives the addresses for other data centers.
"""

from collections.abc import Iterable, Iterator

from crdtkv.config.addresses import Address, address, address_of
from crdtkv.config.model import ClusterConfig

_Named = tuple[str, Address]


def contradictions(config: ClusterConfig) -> list[str]:
    """Return a line for every address that is used twice, with the path of the later field."""
    nodes = list(_nodes(config))
    found = _used_twice(nodes)
    for dc in config.datacenters:
        seen = [*_nats_seen_from(dc, config), *_monitor_of(dc, config)]
        found += _used_twice([*(one for one in nodes if one[0].startswith(f"datacenters.{dc}.")), *seen])
    urls = [dc_config.nats.url for dc_config in config.datacenters.values()]
    if len(set(map(address_of, urls))) == len(urls):  # else they are in networks of their own
        found += _used_twice([one for dc in config.datacenters for one in _monitor_of(dc, config)])
    return list(dict.fromkeys(found))


def _nodes(config: ClusterConfig) -> Iterator[_Named]:
    for dc, dc_config in config.datacenters.items():
        for index, node in enumerate(dc_config.nodes):
            for field in ("port", "http_port"):
                yield f"datacenters.{dc}.nodes[{index}].{field}", address(node.host, getattr(node, field))


def _nats_seen_from(viewer: str, config: ClusterConfig) -> Iterator[_Named]:
    for dc, dc_config in config.datacenters.items():
        field = f"url_from.{viewer}" if viewer in dc_config.nats.url_from else "url"
        yield f"datacenters.{dc}.nats.{field}", address_of(config.nats_url(dc, viewer))


def _monitor_of(dc: str, config: ClusterConfig) -> Iterator[_Named]:
    url = config.datacenters[dc].nats.monitor_url
    if url is not None:
        yield f"datacenters.{dc}.nats.monitor_url", address_of(url)


def _used_twice(named: Iterable[_Named]) -> list[str]:
    first: dict[Address, str] = {}
    found = []
    for path, where in named:
        earlier = first.setdefault(where, path)
        if earlier != path:
            found.append(f"{path} must be an address of its own: {where[0]}:{where[1]} is that of {earlier}, too")
    return found
