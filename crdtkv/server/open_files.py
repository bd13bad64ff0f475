"""The number of files and connections this process may open, and whether it is enough for the configuration.

A node without file descriptors can neither accept a connection nor open a table of its store. So the soft limit is
raised to the hard one at the start, and clients get only the places that remain after everything else: the store's
tables, links to nodes, NATS, HTTP, connections before their handshake.
"""

import logging
import resource

from crdtkv.admin.http import CONNECTIONS_MAX as HTTP_CONNECTIONS_MAX
from crdtkv.errors import ConfigError
from crdtkv.server.client_links import HALF_OPEN_MAX
from crdtkv.storage.rocks import OPEN_FILES_MAX, OTHER_FILES

#: NATS of all data centers, the listening ports, logs, and files of the interpreter.
_SPARE = 64
#: With fewer places for clients a node is of no use.
PLACES_MIN = 16

log = logging.getLogger("crdtkv.node")


def places_for_clients(connections_max: int, nodes: int) -> int:
    """Raise the limit of open files as far as possible; return how many clients may connect.

    The result is `connections_max`, or less, with a warning.

    Raises:
        ConfigError: there is hardly any place.
    """
    allowed = _raise_limit()
    others = OPEN_FILES_MAX + OTHER_FILES + HALF_OPEN_MAX + HTTP_CONNECTIONS_MAX + 2 * nodes + _SPARE
    if allowed is None or allowed >= others + connections_max:
        return connections_max
    places = allowed - others
    advice = (
        f"this process may open {allowed} files, limits.connections_max = {connections_max} needs "
        f"{others + connections_max}: raise the limit (`ulimit -Hn`, LimitNOFILE=)"
    )
    if places < min(PLACES_MIN, connections_max):
        raise ConfigError(advice)
    log.warning("%s; until then %d clients may connect", advice, places)
    return places


def _raise_limit() -> int | None:
    """Return how many files may be open now, None if there is no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard
