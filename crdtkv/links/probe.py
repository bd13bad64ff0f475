"""`who_answers`: reads, once, which node listens at an address."""

import asyncio

from crdtkv.links.dialer import connect
from crdtkv.links.link import Link
from crdtkv.wire.codec import Frame
from crdtkv.wire.messages import Hello
from crdtkv.wire.outgoing import Outgoing

PROBE_S = 1.0


class _Visitor:
    """Stores the other side's handshake, and ignores everything else."""

    def __init__(self) -> None:
        self.met: asyncio.Future[Hello | None] = asyncio.get_running_loop().create_future()

    def greeted(self, link: Link, hello: Hello) -> None:
        if not self.met.done():
            self.met.set_result(hello)

    def frame(self, link: Link, frame: Frame) -> None:
        pass

    def beat(self, link: Link) -> None:
        pass

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        pass

    def lost(self, link: Link, reason: str) -> None:
        if not self.met.done():
            self.met.set_result(None)


async def who_answers(cluster: str, host: str, port: int) -> Hello | None:
    """Return the handshake of the process at an address; None if it sends none within `PROBE_S`."""
    visitor = _Visitor()
    link: Link | None = None
    try:
        async with asyncio.timeout(PROBE_S):
            link = await connect(lambda: Link(visitor, Hello(cluster, "", "client", "probe"), lambda: 0), host, port)
            return await visitor.met
    except (OSError, TimeoutError):
        return None
    finally:
        if link is not None:
            link.close("the question is answered")
