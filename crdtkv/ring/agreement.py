"""Agreement on the topology document: what a node does with one from the bucket, or from another node.

The bucket is authoritative as long as it is intact. But JetStream stores it, which can be wiped or restored to an
earlier state. Then the nodes have the newer document: a node that has one writes it again. Every write is a
compare-and-set against the document that was read, so of several nodes that write one succeeds and the others read
again.

Invariants:
- Two different documents of one epoch do not last. They can occur when a bucket is lost right after a change that only
  some nodes saw; then the content of the bucket is written once more, under a new epoch.
- No node counts on a disk that replaced another one without having learned from others. If a node loses its disk
  together with the bucket, it writes the document of a first start, in which it counts at once, and another node may
  raise that document above the epoch of the others. So a document is followed only as far as it agrees with the known
  incarnation of every disk (`corrected`).
"""

from dataclasses import replace

from crdtkv.ring.topology import RingNode, Topology


def document_to_write(found: Topology | None, known: Topology | None, first: Topology) -> Topology | None:
    """Return the document to write in place of `found`, None if `found` stays.

    `known` is the last one this node followed, `first` the one that the configuration describes.
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
    """Return a document with the newer data that `known` has about disks; `found` itself if there is none.

    A disk that replaced another one counts only if it names that one as the disk it has learned to replace.
    """
    nodes = tuple(_corrected(node, known.node(node.name)) for node in found.nodes)
    return found if nodes == found.nodes else replace(found, nodes=nodes)


def differences(agreed: Topology, configured: Topology) -> list[str]:
    """Return the differences between the agreed ring and the configured one, one line each."""
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
        # The document of a first start: it has no incarnation of the disk that is known here.
        return replace(node, incarnation=known.incarnation, is_learner=known.is_learner, replaces=known.replaces)
    counted = known.replaces if known.is_learner else known.incarnation
    return node if node.is_learner or node.replaces == counted else replace(node, is_learner=True)
