"""Free ports: moves a cluster to ports that no other process uses.

Another process may take a port after it was found free and before it is used, or while the process that uses it is
down; two clusters of one name would then take each other's nodes for copies of their own. So a process takes its ports
from blocks that no other process takes ports from. It holds a block by being bound to its first port, which the system
releases when the process ends, however that ends. No process returns a port twice.
"""

import random
import socket
from typing import Any

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError

# Linux uses ports from 32768 upwards for outgoing connections.
LOWEST, HIGHEST = 12_000, 32_000
BLOCK = 40

_held: list[socket.socket] = []
_unused: list[int] = []


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that are free, and that no other process and no outgoing connection will use.

    Raises:
        ConfigError: there are no such ports left.
    """
    ports: list[int] = []
    while len(ports) < count:
        if not _unused:
            _unused.extend(_block())
        port = _unused.pop()
        if (bound := _bound(port)) is not None:
            bound.close()
            ports.append(port)
    return ports


def on_free_ports(config: ClusterConfig) -> ClusterConfig:
    """Return the configuration with every address on a free loopback port."""
    fields: dict[str, Any] = config.model_dump(mode="json")
    ports = iter(free_ports(sum(2 + 2 * len(dc["nodes"]) for dc in fields["datacenters"].values())))
    for dc in fields["datacenters"].values():
        dc["nats"]["url"] = f"nats://127.0.0.1:{next(ports)}"
        dc["nats"]["monitor_url"] = f"http://127.0.0.1:{next(ports)}"
        for node in dc["nodes"]:
            node.update(host="127.0.0.1", port=next(ports), http_port=next(ports))
    return ClusterConfig.model_validate(fields)


def _block() -> range:
    """Hold a free block, and return its other ports."""
    firsts = range(LOWEST, HIGHEST, BLOCK)
    for first in random.sample(firsts, len(firsts)):
        if (holder := _bound(first)) is not None:
            _held.append(holder)
            return range(first + 1, first + BLOCK)
    raise ConfigError(f"there are no free ports between {LOWEST} and {HIGHEST}")


def _bound(port: int) -> socket.socket | None:
    """Return a socket bound to a loopback port, without listening; None if another socket is bound to it."""
    one = socket.socket()
    try:
        one.bind(("127.0.0.1", port))
    except OSError:
        one.close()
        return None
    return one
