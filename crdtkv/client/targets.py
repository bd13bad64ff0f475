"""What people pass to `connect`: addresses, lists of them, `crdtkv://` URLs, configurations. Out come addresses.

    "host:port" · "host:port,host:port" · ["host:port", …] · "crdtkv://host:port,host:port/?datacenter=eu&timeout=2"
    "datacenters.yaml" · a Path · a ClusterConfig

A URL may also say what else `connect` takes (`datacenter`, `consistency`, `timeout`); what the call itself says counts
before that. Whatever is no such thing is refused with a word on what it seems to be.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import InvalidRequest

#: A host and a port.
Address = tuple[str, int]
Target = str | Path | ClusterConfig | list[Any] | tuple[Any, ...]

SCHEME = "crdtkv"
PARAMETERS = ("datacenter", "consistency", "timeout")
_OTHERS = {
    "nats": "that is a NATS server's, which carries changes between data centers",
    "tls": "that is a NATS server's, which carries changes between data centers",
    "http": "that is a web server's, and a node's http_port has metrics and health only",
    "https": "that is a web server's, and a node's http_port has metrics and health only",
    "redis": "that is a Redis server's",
}


class Targets(NamedTuple):
    """Where to connect: the cluster's name ("" if unknown), addresses in order, and what URLs say besides."""

    cluster: str
    addresses: list[Address]
    parameters: dict[str, str]


def resolved(targets: tuple[Any, ...], datacenter: str | None) -> Targets:
    """Return what targets name; of a configuration the nodes of `datacenter` first.

    Raises:
        InvalidRequest: none is named, or something that is none.
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
                        f"two addresses say different things of {name}: {parameters[name]!r}, {value!r}"
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
        raise InvalidRequest(f"{url!r:.200} is no URL: {error}") from None
    if scheme != SCHEME:
        what = _OTHERS.get(scheme, "that is none of crdtkv's")
        raise InvalidRequest(
            f"{scheme}:// is no scheme to connect with: {what}. Name nodes, as {SCHEME}://host:port or host:port, "
            "with the `port` they have in datacenters.yaml"
        )
    if "@" in place:
        raise InvalidRequest(f"a {SCHEME}:// URL names no user and no password: there is no access control yet")
    if path not in ("", "/") or fragment:
        raise InvalidRequest(
            f"behind the addresses of a {SCHEME}:// URL there is nothing but /?parameters, not {path!r}"
        )
    said: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise InvalidRequest(f"a {SCHEME}:// URL has no parameter {name!r:.80}: one of {', '.join(PARAMETERS)}")
        if said.setdefault(name, value) != value:
            raise InvalidRequest(f"a {SCHEME}:// URL says {name} twice")
    return _list_of(place), said


def _list_of(text: str) -> list[Address]:
    parts = [part for part in text.split(",") if part.strip()]
    return [_address(part) for part in parts or [text]]


def _address(text: str) -> Address:
    host, _, port = text.strip().rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        is_without_port = text.strip() and (":" not in text or text.strip().endswith((":", "]")))
        what = "there is no port in" if is_without_port else "which is not"
        raise InvalidRequest(
            f"an address is host:port, {what} {text!r:.200}: the port is the node's `port` in datacenters.yaml"
        )
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise InvalidRequest(f"an IPv6 address is [host]:port, not {text!r:.200}")
    return host.strip("[]"), int(port)
