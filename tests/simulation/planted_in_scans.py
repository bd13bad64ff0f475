"""Planted bugs of scans, and of a session's token (`planted_bugs`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crdtkv.causality.seen import Seen
from crdtkv.client.core.scanning import PartitionScan
from crdtkv.node.quorum_calls import replica_service as serving
from crdtkv.node.quorum_calls import scanning
from crdtkv.node.quorum_calls.scanning import Page, ScanCall

from .planting import Bug, replaced


def scan_that_skips_the_row_at_the_end_of_a_page() -> Any:
    """A full page says that it goes one row further than it does."""
    right = scanning.read_page

    def wrong(store: Any, partitions: int, partition: int, prefix: Any, after: bytes, limit: int) -> Page:
        page, end = right(store, partitions, partition, prefix, after, limit)
        if end is None:
            return page, end
        following, _ = right(store, partitions, partition, prefix, end, 1)
        return page, following[0][0] if following else end

    @contextmanager
    def planted() -> Iterator[None]:
        with replaced(scanning, "read_page", wrong), replaced(serving, "read_page", wrong):
            yield

    return planted()


def scan_page_as_long_as_the_longest() -> Any:
    """A page of several replicas ends where the longest of theirs does: the others have not returned all of it.

    450 runs did not show it: `tests/unit/node/test_scanning.py` does. It is not in `BUGS_OF_SCANS`.
    """
    right = scanning._merged

    def wrong(pages: list[Page]) -> Any:
        ends = [end for _, end in pages]
        end = None if None in ends else max(end for end in ends if end is not None)
        return right([(page, end) for page, _ in pages])

    return replaced(scanning, "_merged", wrong)


def scan_of_one_replica() -> Any:
    """A scan asks one replica at all levels."""
    start = ScanCall.start

    def wrong(self: ScanCall, page: Any, required: int, deadline_s: float) -> None:
        start(self, page, 1, deadline_s)

    return replaced(ScanCall, "start", wrong)


def scan_that_compares_no_page_with_its_session() -> Any:
    """A session does not read separately what it has seen of a page's keys and the page lacks."""
    return replaced(PartitionScan, "_known_in_page", lambda self, end: [])


def session_token_that_drops_a_key() -> Any:
    """A session's token leaves out the key that was seen last."""
    to_token = Seen.to_token

    def wrong(self: Seen) -> str:
        fewer = Seen()
        fewer.newest = self.newest
        fewer.contexts = dict(list(self.contexts.items())[:-1])
        return to_token(fewer)

    return replaced(Seen, "to_token", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_SCANS: dict[Bug, int] = {
    scan_that_skips_the_row_at_the_end_of_a_page: 150,
    scan_of_one_replica: 150,
    scan_that_compares_no_page_with_its_session: 150,
    session_token_that_drops_a_key: 150,
}
#: The class of runs in which they are searched.
CLASSES_OF_SCANS: dict[Bug, str] = {scan_of_one_replica: "partitions"}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_SCANS: dict[Bug, int] = {
    scan_of_one_replica: 100_195,
    scan_that_compares_no_page_with_its_session: 110,
    session_token_that_drops_a_key: 139,
}
