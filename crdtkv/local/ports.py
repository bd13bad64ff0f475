"""Free ports: the same cluster, moved to ports nobody uses."""

import socket
from typing import Any

from crdtkv.config.model import ClusterConfig


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that are free now."""
    sockets = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.bind(("127.0.0.1", 0))
            sockets.append(one)
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


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
