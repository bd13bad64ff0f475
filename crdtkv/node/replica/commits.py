"""`Commits`: the commits of one store, and the *dirty* keys, which were changed by a commit that is not durable yet."""

from collections import deque

from crdtkv.storage.store import Store


class Commits:
    """Numbers commits from 1, and drops dirty keys when their commits become durable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.number = 0
        #: The last commit that changed each dirty key.
        self.dirty: dict[bytes, int] = {}
        self._undurable: deque[tuple[int, list[bytes]]] = deque()
        self._touched: list[bytes] = []

    @property
    def has_undurable(self) -> bool:
        """Whether any write so far could still be lost."""
        return bool(self._undurable) or self._store.has_writes

    @property
    def has_dirty_keys(self) -> bool:
        """Whether any entry could still be lost."""
        return bool(self.dirty)

    def is_durable(self, storage_key: bytes) -> bool:
        """Return whether the entry under a key is durable."""
        return storage_key not in self.dirty

    def touch(self, storage_key: bytes) -> None:
        """Note that the current step changes a key, so that later answers in this step wait as well."""
        self._touched.append(storage_key)
        self.dirty[storage_key] = self.number + 1

    def commit(self) -> int:
        """Commit buffered writes, if there are any; return the number of the last commit."""
        if self._store.has_writes:
            self._store.commit()
            self.number += 1
            self._undurable.append((self.number, self._touched))
            self._touched = []
        return self.number

    def durable(self, commit: int) -> None:
        """Note that all commits up to this number are durable."""
        while self._undurable and self._undurable[0][0] <= commit:
            number, touched = self._undurable.popleft()
            for storage_key in touched:
                if self.dirty.get(storage_key) == number:
                    del self.dirty[storage_key]
