"""Conversion of the targets of `connect` to addresses.

    "host:port" · "host:port,host:port" · ["host:port", …] · "crdtkv://host:port,host:port/?datacenter=eu&timeout=2"
    "datacenters.yaml" · a Path · a ClusterConfig

A URL may have the parameters `datacenter`, `consistency` and `timeout`; arguments of `connect` have precedence. Other
targets are refused with a message that explains common mistakes, such as the URL of a NATS server.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import InvalidRequest

#: Host and port.
Address = tuple[str, int]
Target = str | Path | ClusterConfig | list[Any] | tuple[Any, ...]

SCHEME = "crdtkv"
PARAMETERS = ("datacenter", "consistency", "timeout")
_OTHERS = {
    "nats": "it belongs to a NATS server, which carries changes between data centers",
    "tls": "it belongs to a NATS server, which carries changes between data centers",
    "http": "it belongs to a web server; a node's http_port has metrics and health only",
    "https": "it belongs to a web server; a node's http_port has metrics and health only",
    "redis": "it belongs to a Redis server",
}


class Targets(NamedTuple):
    """The name of the cluster ("" if unknown), the addresses in order, and the parameters of the URLs."""

    cluster: str
    addresses: list[Address]
    parameters: dict[str, str]


def resolved(targets: tuple[Any, ...], datacenter: str | None) -> Targets:
    """Return the addresses and parameters of targets. Of a configuration, the nodes of `datacenter` come first.

    Raises:
        InvalidRequest: there is no address, a target is malformed, two URLs contradict each other, or a configuration
            has no such data center.
        ConfigError: a configuration is wrong.
    """
    cluster = ""
    addresses: list[Address] = []
    parameters: dict[str, str] = {}
    configs: list[ClusterConfig] = []
    for target in _flat(targets):
        if isinstance(target, ClusterConfig):
            configs.append(target)
        elif isinstance(target, Path) or target.endswith((".yaml", ".yml")):
            configs.append(load(target))
        elif "://" in target:
            found, said = _of_url(target)
            addresses += found
            for name, value in said.items():
                if parameters.setdefault(name, value) != value:
                    raise InvalidRequest(
                        f"two addresses have different values of {name}: {parameters[name]!r}, {value!r}"
                    )
        else:
            addresses += _list_of(target)
    wanted = datacenter if datacenter is not None else parameters.get("datacenter")
    for config in configs:
        cluster = config.cluster
        addresses += _of_config(config, wanted)
    if not addresses:
        raise InvalidRequest("connect to at least one address, or a datacenters.yaml")
    return Targets(cluster, addresses, parameters)


def _flat(targets: tuple[Any, ...]) -> Iterator[str | Path | ClusterConfig]:
    for target in targets:
        if isinstance(target, (list, tuple)):
            yield from _flat(tuple(target))
        elif isinstance(target, (str, Path, ClusterConfig)):
            yield target
        else:
            raise InvalidRequest(f"an address is text, host:port, not {target!r:.80}")


def _of_config(config: ClusterConfig, datacenter: str | None) -> list[Address]:
    if datacenter is not None and datacenter not in config.datacenters:
        known = ", ".join(config.datacenters)
        raise InvalidRequest(f"no data center {datacenter!r} in the configuration: one of {known}")
    names = sorted(config.datacenters, key=lambda name: name != datacenter)
    return [(node.host, node.port) for name in names for node in config.datacenters[name].nodes]


def _of_url(url: str) -> tuple[list[Address], dict[str, str]]:
    try:
        scheme, place, path, query, fragment = urlsplit(url)
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise InvalidRequest(f"{url!r:.200} is not a URL: {error}") from None
    if scheme != SCHEME:
        what = _OTHERS.get(scheme, "crdtkv does not use it")
        raise InvalidRequest(
            f"{scheme}:// is not a scheme of a node: {what}. Pass nodes as {SCHEME}://host:port or host:port, "
            "with their `port` in datacenters.yaml"
        )
    if "@" in place:
        raise InvalidRequest(f"a {SCHEME}:// URL has no user and no password: there is no access control yet")
    if path not in ("", "/") or fragment:
        raise InvalidRequest(f"only /?parameters may follow the addresses of a {SCHEME}:// URL, not {path!r}")
    said: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise InvalidRequest(f"a {SCHEME}:// URL has no parameter {name!r:.80}: one of {', '.join(PARAMETERS)}")
        if said.setdefault(name, value) != value:
            raise InvalidRequest(f"a {SCHEME}:// URL has {name} twice")
    return _list_of(place), said


def _list_of(text: str) -> list[Address]:
    parts = [part for part in text.split(",") if part.strip()]
    return [_address(part) for part in parts or [text]]


def _address(text: str) -> Address:
    host, _, port = text.strip().rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        is_without_port = text.strip() and (":" not in text or text.strip().endswith((":", "]")))
        what = "there is no port in" if is_without_port else "not"
        raise InvalidRequest(
            f"an address is host:port, {what} {text!r:.200}: the port is the node's `port` in datacenters.yaml"
        )
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise InvalidRequest(f"an IPv6 address is [host]:port, not {text!r:.200}")
    return host.strip("[]"), int(port)
