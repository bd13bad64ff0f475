"""A process that writes to a disk that loses unsynced data, until it is killed.

`python -m tests.contract.writer DIRECTORY [FAULT]` establishes an identity, reports that, and then commits and syncs
groups of rows; after each sync it prints the number of the last row it covers. A fault is a mistake in the product, to
verify that the test would find it.
"""

import os
import stat
import sys
from pathlib import Path

from rocksdict import Rdict

from crdtkv.storage.identity import IdentityFile, Owner, establish
from crdtkv.storage.rocks import RocksStore

OWNER = Owner("shop", "eu", "eu-1")
INCARNATION = 7
ROWS_A_SYNC = 7
#: Small, so that log files end and tables are written all the time.
BUFFER_MIB = 1


def row(number: int) -> bytes:
    return b"d%08d" % number


def value(number: int) -> bytes:
    return b"value %08d " % number * 100


def plant(fault: str) -> None:
    """Put a mistake in place of what the product does."""
    fsync = os.fsync

    def skipping(is_skipped: object) -> None:
        os.fsync = lambda fd: None if is_skipped(os.fstat(fd).st_mode) else fsync(fd)  # type: ignore[operator]

    if fault == "log not synced":
        flush = Rdict.flush_wal
        RocksStore.sync = lambda self: flush(self._db, False)  # type: ignore[method-assign]
    elif fault == "identity file not synced":
        skipping(stat.S_ISREG)
    elif fault == "directory of the identity file not synced":
        skipping(stat.S_ISDIR)
    elif fault:
        raise ValueError(fault)


def main() -> None:
    directory, fault = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    plant(fault)
    store = RocksStore(directory / "db", block_cache_mib=1, write_buffer_mib=BUFFER_MIB)
    establish(IdentityFile(directory), store, OWNER, INCARNATION)
    print("established", flush=True)
    number = 0
    while True:
        for _ in range(ROWS_A_SYNC):
            number += 1
            store.put(row(number), value(number))
            store.commit()
        store.sync()
        print(number, flush=True)


if __name__ == "__main__":
    main()
