"""Which topology document stands, also after the bucket was lost."""

from dataclasses import replace
from pathlib import Path

from crdtkv.config.loader import load
from crdtkv.ring.agreement import corrected, differences, document_to_write
from crdtkv.ring.topology import Topology

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


def _entered(topology: Topology, **incarnations: str) -> Topology:
    nodes = [
        replace(node, incarnation=incarnations.get(node.name.replace("-", "_"), node.incarnation))
        for node in topology.nodes
    ]
    return replace(topology, nodes=tuple(nodes))


KNOWN = replace(_entered(FIRST, eu_1="a1", eu_2="b1", eu_3="c1"), epoch=5)


def test_the_document_of_a_first_start_does_not_make_an_empty_disk_count() -> None:
    """eu-1 lost its disk when the bucket was lost: it wrote a first document and entered, and the epoch was raised."""
    found = replace(_entered(FIRST, eu_1="a2"), epoch=9)
    written = document_to_write(found, KNOWN, FIRST)
    assert written is not None
    assert written.epoch == 10
    assert [(node.incarnation, node.is_learner) for node in written.nodes] == [
        ("a2", True),
        ("b1", False),
        ("c1", False),
    ]


def test_the_document_of_a_first_start_does_not_promote_a_learner() -> None:
    known = replace(KNOWN, nodes=(replace(KNOWN.nodes[0], is_learner=True, replaces="a0"), *KNOWN.nodes[1:]))
    written = document_to_write(replace(FIRST, epoch=9), known, FIRST)
    assert written == replace(known, epoch=10)


def test_a_disk_that_has_learned_to_replace_the_known_one_counts_also_for_those_who_missed_that() -> None:
    first = replace(KNOWN.nodes[0], incarnation="a2", replaces="a1")
    for is_learner in (True, False):
        found = replace(KNOWN, epoch=8, nodes=(replace(first, is_learner=is_learner), *KNOWN.nodes[1:]))
        assert document_to_write(found, KNOWN, FIRST) is None
        assert corrected(found, KNOWN) is found


def test_a_disk_that_replaces_a_learner_counts_as_that_would_have() -> None:
    learner = replace(KNOWN.nodes[0], incarnation="a2", replaces="a1", is_learner=True)
    known = replace(KNOWN, nodes=(learner, *KNOWN.nodes[1:]))
    third = replace(learner, incarnation="a3", is_learner=False)
    found = replace(KNOWN, epoch=9, nodes=(third, *KNOWN.nodes[1:]))
    assert document_to_write(found, known, FIRST) is None


def test_documents_of_one_epoch_are_corrected_before_they_are_written_again() -> None:
    found = replace(_entered(FIRST, eu_1="a2"), epoch=5)
    written = document_to_write(found, KNOWN, FIRST)
    assert written is not None
    assert (written.epoch, written.nodes[0].is_learner) == (6, True)


def test_differences_name_what_is_agreed_and_what_is_configured() -> None:
    moved = replace(FIRST.nodes[0], port=9)
    agreed = replace(FIRST, replication_factor=2, nodes=(moved, FIRST.nodes[1], replace(FIRST.nodes[2], name="eu-9")))
    assert differences(agreed, FIRST) == [
        "replication factor: agreed 2, configured 3",
        f"address of eu-1: agreed 127.0.0.1:9, configured {FIRST.nodes[0].address}",
        "eu-9: agreed, not configured",
        "eu-3: configured, not agreed",
    ]
    assert differences(KNOWN, FIRST) == []
