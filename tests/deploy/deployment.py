"""The compose file of `deploy/`, started for tests: a project, image tags and loopback addresses of its own."""

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from testcontainers.compose import DockerCompose

from crdtkv.checking.history import Operation, read_lines

ROOT = Path(__file__).parents[2]
DATACENTERS = ("eu", "us", "ap")
NODES = tuple(f"{datacenter}-{number}" for datacenter in DATACENTERS for number in (1, 2, 3))
#: The base images, as the compose file has them unless the environment names others.
BASE_IMAGES = dict(re.findall(r"\$\{(CRDTKV_\w+_IMAGE):-([^}]+)\}", (ROOT / "deploy" / "compose.yaml").read_text()))
PATIENCE_S = 120.0


def why_not() -> str | None:
    """Return why containers cannot be run here, None if they can."""
    if shutil.which("docker") is None:
        return "no `docker` program"
    engine = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    if engine.returncode != 0:
        return f"no Docker engine answers: {engine.stderr.strip()}"
    if compose_program() is None:
        return "neither `docker compose` nor `docker-compose`"
    for name, default in BASE_IMAGES.items():
        if name == "CRDTKV_NATS_BOX_IMAGE" and os.environ.get("CRDTKV_CLIENT_TARGET") == "node":
            continue
        image = os.environ.get(name, default)
        if not (_succeeds("docker", "image", "inspect", image) or _succeeds("docker", "pull", image)):
            return f"the image {image} is not here, and cannot be pulled; deploy/README.md tells how to do without"
    return None


def compose_program() -> list[str] | None:
    """Return how Compose is called here: v2 if it is there, else v1."""
    if _succeeds("docker", "compose", "version"):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class _Compose(DockerCompose):
    """testcontainers speaks v2 only; the same calls go to v1 where that is what there is."""

    @cached_property
    def compose_command_property(self) -> list[str]:
        program = compose_program()
        assert program is not None
        return [*program, *(part for file in self.compose_file_name or () for part in ("-f", str(file)))]


class Deployment:
    """Three data centers in containers."""

    def __init__(self) -> None:
        self.project = f"crdtkvtest{secrets.token_hex(3)}"
        self.loopback = f"127.0.0.{secrets.randbelow(200) + 50}"
        os.environ.update(
            COMPOSE_PROJECT_NAME=self.project, CRDTKV_TAG=self.project, CRDTKV_LOOPBACK=self.loopback.rpartition(".")[2]
        )
        files = ["compose.yaml", "../tests/deploy/compose.yaml"]
        self._compose = _Compose(ROOT / "deploy", files, wait=False, build=True)
        self.up_s = 0.0

    def start(self) -> None:
        """Build the images, and start everything; returns when all is ready."""
        _run(*self._compose.compose_command_property, "build")
        began = time.monotonic()
        self._compose.build = False
        self._compose.start()
        self.up_s = time.monotonic() - began

    def stop(self) -> None:
        """Remove everything that was made, data and images too."""
        self._compose.stop(down=True)
        _run("docker", "rmi", "--force", *(f"crdtkv/{name}:{self.project}" for name in ("node", "client")))

    async def compose(self, *arguments: str) -> str:
        """Run Compose on this project."""
        return await run(*self._compose.compose_command_property, *arguments, cwd=ROOT / "deploy")

    async def crdtkv(self, *arguments: str) -> str:
        """Run the `crdtkv` program in the client container, and return what it prints."""
        return await self.in_client("crdtkv", *arguments)

    async def in_client(self, *command: str) -> str:
        """Run a program in the client container, and return what it prints."""
        return await run("docker", "exec", await self.container("client"), *command)

    async def container(self, service: str) -> str:
        """Return the id of a service's container."""
        labels = (f"project={self.project}", f"service={service}")
        filters = [part for label in labels for part in ("--filter", f"label=com.docker.compose.{label}")]
        (found,) = (await run("docker", "ps", "--all", "--quiet", *filters)).split()
        return found

    async def inspect(self, service: str) -> Any:
        """Return what Docker knows of a service's container."""
        return json.loads(await run("docker", "inspect", await self.container(service)))[0]

    async def healthy(self, *services: str) -> None:
        """Wait until containers are healthy."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*map(self._healthy, services))

    async def _healthy(self, service: str) -> None:
        # The engine is listened to, not asked again and again: that takes as much of a small machine as a node does.
        filters = ("--filter", f"container={await self.container(service)}", "--filter", "event=health_status")
        command = ("docker", "events", "--since", str(int(time.time())), *filters)
        events = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
        assert events.stdout is not None
        try:
            if (await self.inspect(service))["State"]["Health"]["Status"] == "healthy":
                return
            while b"health_status: healthy" not in (line := await events.stdout.readline()):
                assert line, f"the engine says nothing more of {service}"
        finally:
            events.kill()
            await events.communicate()

    async def script(self, name: str, *datacenters: str) -> str:
        """Run `deploy/cut` or `deploy/heal`."""
        return await run(str(ROOT / "deploy" / name), *datacenters)

    async def assert_equal(self, prefix: str) -> None:
        """Check that all data centers hold the same of the keys that begin so."""
        held = {}
        for datacenter in DATACENTERS:
            text = await self.crdtkv("export", "--prefix", prefix, "--dc", datacenter, "--level", "LOCAL_ALL")
            held[datacenter] = sorted(text.splitlines())
        assert held["eu"], "nothing was written"
        assert held["eu"] == held["us"] == held["ap"]


async def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command to its end, and return what it prints; one that fails fails the test."""
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}: {process.returncode}\n{out.decode()}{err.decode()}"
    return out.decode()


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT / "deploy", stdout=PIPE, stderr=STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}"


class Workload:
    """Clients in all data centers under load, in the client container (`workload`); `history` when they have ended."""

    def __init__(
        self,
        deployment: Deployment,
        prefix: str,
        levels: tuple[str, ...],
        timeout_s: float = 2.0,
        workers: int = 3,
        pause_s: float = 0.05,
    ) -> None:
        self._deployment = deployment
        self._arguments = (prefix, ";".join(levels), str(timeout_s), str(workers), str(pause_s))
        self.history: list[Operation] = []

    async def __aenter__(self) -> "Workload":
        container = await self._deployment.container("client")
        command = ("docker", "exec", "--interactive", container, "python3", "-m", "tests.deploy.workload")
        limit = 1 << 20
        self._process = await asyncio.create_subprocess_exec(
            *command, *self._arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=limit
        )
        try:
            for datacenter in DATACENTERS:
                await self.more(datacenter, 50)
        except BaseException:
            await self._break_off()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            await self._break_off()
            return
        await self._ordered("stop")
        out, _ = await self._process.communicate()
        assert self._process.returncode == 0
        self.history = list(read_lines(out.decode().splitlines()))

    async def more(self, datacenter: str, count: int) -> None:
        """Wait until that many more calls have succeeded in a data center."""
        await self._ordered(f"more {datacenter} {count}")

    async def _break_off(self) -> None:
        """Let the workload end at once: it does when nobody gives it orders any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.communicate()

    async def _ordered(self, order: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n".encode())
        async with asyncio.timeout(2 * PATIENCE_S):
            answer = await self._process.stdout.readline()
        if answer != b"done\n":
            _, err = await self._process.communicate()
            raise AssertionError(f"the workload ended at {order!r}: {err.decode()}")
