"""`Cuts`: the network partitions between the data centers of a running local cluster, as files in its directory.

`crdtkv cut` and `crdtkv heal` create a file for each pair; `crdtkv up` reads them, cuts and heals its links, and
removes the files.
"""

import asyncio
from pathlib import Path

from crdtkv.errors import InvalidRequest
from crdtkv.local.cluster import LocalCluster
from crdtkv.storage.files import make_private_directory

LOOK_EVERY_S = 0.1
WAIT_S = 5.0


class Cuts:
    """The cuts of the cluster under a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "cuts"

    def prepare(self) -> None:
        """Begin without any cut; from now on `ask` is accepted."""
        make_private_directory(self._directory)
        for file in self._directory.iterdir():
            file.unlink()

    def end(self) -> None:
        """Remove all files; `ask` is not accepted any more."""
        self.prepare()
        self._directory.rmdir()

    async def ask(self, pairs: list[tuple[str, str]], is_cut: bool) -> None:
        """Request that these pairs are cut or healed, and wait until that is done.

        Raises:
            InvalidRequest: no cluster that can be cut runs there.
        """
        if not self._directory.is_dir():
            raise InvalidRequest(
                f"no cluster that can be cut runs under {self._directory.parent}: start it with `crdtkv up --cuttable`"
            )
        wanted = [self._directory / ("--".join(sorted(pair)) + (".cut" if is_cut else ".heal")) for pair in pairs]
        try:
            for file in wanted:
                file.touch()
        except OSError as error:
            raise InvalidRequest(f"{self._directory}: {error.strerror}: cut as the user who runs `crdtkv up`") from None
        for _ in range(round(WAIT_S / LOOK_EVERY_S)):
            if not any(file.exists() for file in wanted):
                return
            await asyncio.sleep(LOOK_EVERY_S)
        raise InvalidRequest(f"no process carries it out: is `crdtkv up` still running under {self._directory.parent}?")

    async def carry_out(self, cluster: LocalCluster) -> None:
        """Cut and heal the requested pairs, and remove their files; runs until cancelled."""
        while True:
            for file in sorted(self._directory.iterdir()):
                one, _, other = file.stem.partition("--")
                if cluster.is_pair(one, other):
                    (cluster.cut if file.suffix == ".cut" else cluster.heal)(one, other)
                file.unlink()
            await asyncio.sleep(LOOK_EVERY_S)
