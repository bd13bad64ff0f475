"""When a batch leaves for the other data centers: at once to an idle stream, else when it is full."""

from several_nodes import Cluster, config

from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import BusUp, Published

BATCH_MAX = 3


def publishing() -> Cluster:
    quiet = {"interval_s": 3600, "rebuild_s": 3600, "read_share": 0}
    cluster = Cluster(config(3, ("eu", "us"), repair=quiet, geo={"batch_max": BATCH_MAX}))
    cluster.handle("eu-1", BusUp())
    return cluster


def put(cluster: Cluster, *keys: str) -> list[int]:
    """Write keys at eu-1, one step each; return the sizes of the batches that left."""
    before = len(cluster.published)
    for key in keys:
        cluster.mutate("put", b"\x01", at="eu-1", key=identity_of("default", "register", key))
    return [publish.entries for publish in cluster.published[before:]]


def test_a_write_leaves_at_once_if_the_stream_is_idle() -> None:
    assert put(publishing(), "a") == [1]


def test_while_a_batch_is_in_flight_the_next_one_grows() -> None:
    cluster = publishing()
    assert put(cluster, "a", "b", "c") == [1]
    cluster.handle("eu-1", Published(cluster.published[-1].number, True))
    assert cluster.published[-1].entries == 2


def test_a_full_batch_does_not_wait() -> None:
    assert put(publishing(), "a", *"bcd", *"efg") == [1, BATCH_MAX, BATCH_MAX]


def test_rows_of_a_batch_that_failed_are_sent_again() -> None:
    cluster = publishing()
    put(cluster, "a", "b")
    cluster.handle("eu-1", Published(cluster.published[-1].number, False))
    cluster.run(2)
    assert cluster.published[-1].entries == 2
