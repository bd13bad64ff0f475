"""Which topology document stands, also after the bucket was lost."""

from dataclasses import replace
from pathlib import Path

from crdtkv.config.loader import load
from crdtkv.ring.agreement import document_to_write

FIRST = load(Path(__file__).parents[3] / "datacenters.yaml").first_topology("eu")
FOURTH = replace(FIRST, epoch=4)
OTHER_FOURTH = replace(FOURTH, replication_factor=1)


def test_an_empty_bucket_is_filled_from_the_configuration_by_a_node_that_knows_nothing() -> None:
    assert document_to_write(None, None, FIRST) == FIRST


def test_an_empty_bucket_is_filled_with_the_last_document_known() -> None:
    assert document_to_write(None, FOURTH, FIRST) == FOURTH


def test_what_is_found_stands_when_nothing_newer_is_known() -> None:
    assert document_to_write(FOURTH, None, FIRST) is None
    assert document_to_write(FOURTH, FIRST, FIRST) is None
    assert document_to_write(FOURTH, FOURTH, FIRST) is None


def test_a_bucket_that_was_set_back_gets_the_newer_document_again() -> None:
    assert document_to_write(FIRST, FOURTH, FIRST) == FOURTH


def test_two_documents_of_one_epoch_end_in_a_new_epoch() -> None:
    assert document_to_write(OTHER_FOURTH, FOURTH, FIRST) == replace(OTHER_FOURTH, epoch=5)
