"""What a node does with the topology document it finds in the bucket.

The bucket is the authority while it is whole. But it lies in JetStream, which can be wiped or set back, and then the
nodes know better: whoever knows a newer document writes it again. Every write is a compare-and-set against what was
found, so of several nodes that write one wins and the others look again.

Invariant: two documents of one epoch that differ do not last. They can come up when a bucket is lost right after a
change that only some nodes saw; then what the bucket holds is written once more, under an epoch of its own.
"""

from dataclasses import replace

from crdtkv.ring.topology import Topology


def document_to_write(found: Topology | None, known: Topology | None, first: Topology) -> Topology | None:
    """Return the document to put in place of `found`, None if that stands.

    `known` is the last one this node agreed to, `first` what the configuration says.
    """
    if found is None:
        return known or first
    if known is None or known.epoch < found.epoch or known == found:
        return None
    return known if known.epoch > found.epoch else replace(found, epoch=found.epoch + 1)
