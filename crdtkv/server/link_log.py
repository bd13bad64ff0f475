"""`LinkLog`: the log lines of a node about its links, limited in rate, in a form that peers cannot control."""

import logging
import time

from crdtkv.links.link import Link
from crdtkv.log_text import LineRate, one_line
from crdtkv.node.kernel.stats import Stats
from crdtkv.wire.outgoing import Outgoing

log = logging.getLogger("crdtkv.node")


class LinkLog:
    """The lines of one node."""

    def __init__(self) -> None:
        self._junk = LineRate()
        self._unsent = LineRate()

    def junk(self, reason: str, stats: Stats) -> None:
        """Log that a link was closed because of malformed data."""
        stats.count("junk_messages")
        _warn(self._junk, f"closed a link: {reason}")

    def unsent(self, link: Link, outgoing: Outgoing, stats: Stats) -> None:
        """Log the messages that could not be sent."""
        stats.count("unsendable_messages", len(outgoing.unsendable))
        stats.count("messages_held_back", outgoing.held_back)
        name = "an unidentified peer" if link.hello is None else f"{link.hello.role} {one_line(link.hello.name, 40)}"
        for what in outgoing.unsendable:
            _warn(self._unsent, f"cannot be sent to {name}: {what}")


def _warn(rate: LineRate, text: str) -> None:
    line = rate.admit(text, time.monotonic())
    if line is not None:
        log.warning("%s", line)
