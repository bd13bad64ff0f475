"""Operation records: one row a step, found by their ids, also after a start on rows of an earlier version."""

from random import Random

from one_node import OneNode

from crdtkv.ids import actor_name
from crdtkv.node.replica.operations import ID_BYTES, KEPT_MINUTES, Operations, Record, _Index
from crdtkv.storage import rows

ACTOR = actor_name("eu-2", 7)


def record(number: int, counter: int = 1) -> Record:
    return Record(number.to_bytes(ID_BYTES, "big"), ACTOR, counter, 5)


def noted(node: OneNode, *records: Record) -> None:
    for one in records:
        operations_of(node).note(one.to_bytes())
    node.step()


def operations_of(node: OneNode) -> Operations:
    return node.core.parts.service._operations


def started_again(node: OneNode) -> Operations:
    return Operations(node.core.parts.kernel, node.core.parts.replica._store)


def test_the_records_of_a_step_share_a_row() -> None:
    node = OneNode()
    noted(node, *map(record, range(10)))
    noted(node, *map(record, range(10, 15)))
    stored = node.store.scan(rows.operations_from(0), rows.operations_from(1), 100)
    assert [row for row, _ in stored] == [rows.operations_row(0, 0), rows.operations_row(0, 1)]
    for operations in (operations_of(node), started_again(node)):
        assert [operations.find(record(n).operation_id) for n in range(16)] == [*map(record, range(15)), None]


def test_a_record_is_found_in_the_step_that_notes_it_and_the_last_one_counts() -> None:
    node = OneNode()
    noted(node, record(1, counter=1))
    operations = operations_of(node)
    operations.note(record(1, counter=2).to_bytes())
    assert operations.find(record(1).operation_id) == record(1, counter=2)
    noted(node, record(1, counter=3))
    assert operations.find(record(1).operation_id) == record(1, counter=3)
    assert started_again(node).find(record(1).operation_id) == record(1, counter=3)


def test_numbers_of_rows_go_on_after_a_start() -> None:
    node = OneNode()
    noted(node, record(1))
    again = started_again(node)
    again.note(record(2).to_bytes())
    again.run_due()
    assert [again.find(record(n).operation_id) for n in (1, 2)] == [record(1), record(2)]


def test_rows_of_an_earlier_version_are_found_and_written_again() -> None:
    node = OneNode()
    old = record(3)
    node.store.put(rows.operations_from(0) + old.operation_id, old.to_bytes())
    node.store.commit()
    again = started_again(node)
    assert again.find(old.operation_id) == old
    again.run_due()
    assert started_again(node).find(old.operation_id) == old


def test_bytes_that_are_no_record_are_not_kept() -> None:
    node = OneNode()
    for junk in (b"", b"x", bytes(31), bytes(1 << 16)):
        operations_of(node).note(junk)
    node.step()
    assert node.store.scan(rows.operations_from(0), rows.operations_from(1), 100) == []
    operations_of(node).note(bytes([1]) * 40)
    node.step()
    assert operations_of(node).find(bytes([1]) * ID_BYTES) is None


def test_the_index_finds_what_a_dictionary_finds_and_not_what_lies_across_items() -> None:
    random = Random(5)
    index, known = _Index(), {}
    # Few different bytes, so that ids appear at places where none begins.
    ids = [bytes([1]) + bytes(random.choices((0, 1), k=ID_BYTES - 1)) for _ in range(3_000)]
    for number, operation_id in enumerate(ids[:2_000]):
        index.add([operation_id + bytes(20)], number % 7)
        known[operation_id] = number % 7
    assert [index.find(operation_id) for operation_id in ids] == [known.get(operation_id) for operation_id in ids]


def test_the_index_of_old_minutes_is_dropped() -> None:
    node = OneNode()
    for minute in range(6):
        noted(node, record(minute))
        node.wait(61)
    operations = operations_of(node)
    assert len(operations._indexes) <= KEPT_MINUTES + 1
    assert operations.find(record(0).operation_id) is None
    assert operations.find(record(5).operation_id) == record(5)
