"""One delivery from another data center: finished when every entry is settled, applied only if none failed."""

from crdtkv.node.geo.inbox import Delivery


def delivery_of(count: int) -> Delivery:
    return Delivery(7, "us", "us-1", "us-1.0f", list(range(count)), count)


def test_a_delivery_is_applied_when_every_entry_is() -> None:
    delivery = delivery_of(2)
    delivery.applied()
    assert (delivery.is_finished, delivery.is_applied) == (False, False)
    delivery.applied()
    assert (delivery.is_finished, delivery.is_applied) == (True, True)


def test_one_entry_that_failed_makes_the_whole_delivery_fail_once_all_are_settled() -> None:
    delivery = delivery_of(3)
    delivery.failed()
    delivery.applied()
    assert (delivery.is_finished, delivery.is_applied) == (False, False)
    delivery.applied()
    assert (delivery.is_finished, delivery.is_applied) == (True, False)


def test_the_last_entry_may_be_the_one_that_fails() -> None:
    delivery = delivery_of(2)
    delivery.applied()
    delivery.failed()
    assert (delivery.is_finished, delivery.is_applied) == (True, False)


def test_a_delivery_of_nothing_is_applied_at_once() -> None:
    delivery = delivery_of(0)
    assert (delivery.is_finished, delivery.is_applied) == (True, True)


def test_a_delivery_names_its_message_and_where_its_rows_come_from() -> None:
    delivery = delivery_of(2)
    assert (delivery.handle, delivery.datacenter, delivery.node, delivery.actor) == (7, "us", "us-1", "us-1.0f")
    assert delivery.outbox_seqs == [0, 1]
