"""Which topology document stands: what a node does with the one it finds in the bucket, or hears of from another node.

The bucket is the authority while it is whole. But it lies in JetStream, which can be wiped or set back, and then the
nodes know better: whoever knows a newer document writes it again. Every write is a compare-and-set against what was
found, so of several nodes that write one wins and the others look again.

Invariants:
- Two documents of one epoch that differ do not last. They can come up when a bucket is lost right after a change that
  only some nodes saw; then what the bucket holds is written once more, under an epoch of its own.
- No node counts on a disk that took the place of another one without having learned from others. A node that has lost
  its disk when the bucket is lost writes the document of a first start, in which it counts at once, and that one may
  be raised above the epoch that the others know. So a document is followed only as far as it agrees with what is known
  of every disk (`corrected`).
"""

from dataclasses import replace

from crdtkv.ring.topology import RingNode, Topology


def document_to_write(found: Topology | None, known: Topology | None, first: Topology) -> Topology | None:
    """Return the document to put in place of `found`, None if that stands.

    `known` is the last one this node agreed to, `first` what the configuration says.
    """
    if found is None:
        return known or first
    if known is None or known == found:
        return None
    if known.epoch > found.epoch:
        return known
    right = corrected(found, known)
    if right is found and known.epoch < found.epoch:
        return None
    return replace(right, epoch=found.epoch + 1)


def corrected(found: Topology, known: Topology) -> Topology:
    """Return a document with what `known` knows better of the nodes' disks; `found` itself if that is nothing.

    A disk that another one was replaced by counts only if it names the other as the one it has learned to replace.
    """
    nodes = tuple(_corrected(node, known.node(node.name)) for node in found.nodes)
    return found if nodes == found.nodes else replace(found, nodes=nodes)


def differences(agreed: Topology, configured: Topology) -> list[str]:
    """Say, a line each, where the ring that was agreed is not the one that the configuration describes."""
    told = [
        f"{name.replace('_', ' ')}: agreed {getattr(agreed, name)}, configured {getattr(configured, name)}"
        for name in ("partitions", "replication_factor")
        if getattr(agreed, name) != getattr(configured, name)
    ]
    for node in agreed.nodes:
        wanted = configured.node(node.name)
        if wanted is None:
            told.append(f"{node.name}: agreed, not configured")
        else:
            told += [
                f"{name} of {node.name}: agreed {getattr(node, name)}, configured {getattr(wanted, name)}"
                for name in ("address", "zone", "weight")
                if getattr(node, name) != getattr(wanted, name)
            ]
    return told + [
        f"{node.name}: configured, not agreed" for node in configured.nodes if agreed.node(node.name) is None
    ]


def _corrected(node: RingNode, known: RingNode | None) -> RingNode:
    if known is None or not known.incarnation or node.incarnation == known.incarnation:
        return node
    if not node.incarnation:
        # The document of a first start: it does not know the disk that is known here.
        return replace(node, incarnation=known.incarnation, is_learner=known.is_learner, replaces=known.replaces)
    counted = known.replaces if known.is_learner else known.incarnation
    return node if node.is_learner or node.replaces == counted else replace(node, is_learner=True)
