"""Hosts and URLs of a configuration: which are valid, and when two of them are the same address. Pure.

The checks raise `ValueError` with the end of a sentence that begins with the field's path.
"""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

Address = tuple[str, int]

NATS_PORT = 4222
_MONITOR_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def check_host(host: str) -> str:
    """Return a valid host: a name or an IP address.

    Raises:
        ValueError: it is neither.
    """
    if _is_host(host):
        return host
    raise ValueError("must be a host name or an IP address, without a port or anything else")


def check_nats_url(url: str) -> str:
    """Return the URL of one NATS server.

    Raises:
        ValueError: it is malformed.
    """
    if "," in url:
        raise ValueError(
            "must name one NATS server, not several: give the server, or the proxy before several, one name"
        )
    parts = _split(url, ("nats", "tls"))
    if parts is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be nats://HOST:PORT or tls://HOST:PORT")
    return url


def check_monitor_url(url: str) -> str:
    """Return the URL of a NATS server's monitoring.

    Raises:
        ValueError: it is malformed.
    """
    parts = _split(url, ("http", "https"))
    if parts is None or parts.query or parts.fragment:
        raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
    return url


def address(host: str, port: int) -> Address:
    """Return an address in canonical form, so that equal addresses compare equal."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        found = ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        return name, port
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found), port


def address_of(url: str) -> Address:
    """Return the address of a checked URL."""
    parts = urlsplit(url)
    return address(parts.hostname or "", parts.port or _MONITOR_PORTS.get(parts.scheme, NATS_PORT))


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """Return the parts of a URL; None unless it has one of these schemes, a host, and at most a port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    is_whole = url.isprintable() and " " not in url and "\\" not in url and not parts.netloc.endswith(":")
    if not is_whole or parts.scheme not in schemes or port == 0 or not _is_host(parts.hostname or ""):
        return None
    return parts


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        return len(host) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return "%" not in host
