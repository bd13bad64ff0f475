"""Large entries rest between two transfers; small ones do not, and no waiting row is lost."""

from crdtkv.node.geo.pacing import BYTES_PER_S, FREE_BYTES, Pacing
from crdtkv.node.replica.comparison_marks import ComparisonMarks
from crdtkv.node.replica.outbox import Outbox
from crdtkv.storage.memory import MemoryStore

HOT, COLD = b"hot", b"cold"


def test_an_entry_rests_for_as_long_as_its_bytes_take() -> None:
    pacing = Pacing()
    pacing.sent(HOT, BYTES_PER_S // 2, 10.0)
    pacing.sent(COLD, FREE_BYTES, 10.0)
    assert pacing.resting(10.4) == {HOT}
    assert pacing.next_end() == 10.5
    assert pacing.resting(10.5) == frozenset()
    assert pacing.next_end() is None


def test_rows_of_keys_that_rest_stay_in_the_outbox_and_the_others_pass_them() -> None:
    store = MemoryStore()
    outbox = Outbox(store, ComparisonMarks(store, ["us"]), 100, 0.0)
    for key in (HOT, COLD):
        outbox.record(key, 0.0)
    assert [key for _, key in outbox.next_batch(10, 1.0, frozenset((HOT,)))] == [COLD]
    assert outbox.queued == 1
    assert [key for _, key in outbox.next_batch(10, 2.0)] == [HOT]
    assert outbox.queued == 0
