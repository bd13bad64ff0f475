"""Free ports: the same cluster, moved to ports nobody uses."""

import random
import socket
from typing import Any

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError

# Linux takes the ports of outgoing connections from 32768 upwards.
LOWEST, HIGHEST = 12_000, 32_000


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that are free now, none of which an outgoing connection may take."""
    ports: list[int] = []
    candidates = random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST)
    for port in candidates:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ConfigError(f"there are no {count} free ports between {LOWEST} and {HIGHEST}")


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
