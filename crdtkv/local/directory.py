"""Checks that a directory may be that of a local cluster, before anything in it is changed.

It contains one directory for each node and each data center, a `datacenters.yaml`, and `cuts`. All of them must belong
to this cluster, and no node may run in it already. The caller holds the directory's lock.
"""

from pathlib import Path

from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError, StorageError
from crdtkv.storage.directory_lock import holder_of
from crdtkv.storage.identity import FILE_NAME, IdentityFile

CONFIGURATION = "datacenters.yaml"
#: Directories beside those of nodes and data centers.
RESERVED = ("cuts",)


def check_directory(directory: Path, config: ClusterConfig) -> None:
    """Check that this cluster may use a directory.

    Raises:
        StorageError: it belongs to another cluster, or to a node, or nodes run in it.
        ConfigError: a node or data center has a reserved name.
    """
    names = [*config.datacenters, *(node.name for dc in config.datacenters.values() for node in dc.nodes)]
    for name in names:
        if name in RESERVED:
            raise ConfigError(f"{name!r} cannot name a node or data center of a local cluster: choose another name")
    if (directory / FILE_NAME).exists():
        raise StorageError(f"{directory}: is the directory of a single node: choose another --data directory")
    _check_cluster(directory, config.cluster)
    for home in sorted(directory.iterdir()):
        holder = holder_of(home) if home.is_dir() else None
        if holder is not None:
            raise StorageError(f"{home}: in use by {holder}: stop that first, or choose another --data directory")
        _check_owner(home, config)


def _check_cluster(directory: Path, cluster: str) -> None:
    """Compare with the file of the last cluster in this directory."""
    try:
        found = load(directory / CONFIGURATION).cluster
    except ConfigError:
        return
    if found != cluster:
        raise _foreign(directory, "cluster", found, cluster)


def _check_owner(home: Path, config: ClusterConfig) -> None:
    """Compare with the identity of the node in a directory, if there is one."""
    owner = IdentityFile(home).read()
    if not owner:
        return
    found = config.find_node(home.name)
    wanted = {"cluster": config.cluster, "datacenter": found[0] if found else None, "node": home.name}
    for field, name in wanted.items():
        if name is not None and owner.get(field) != name:
            raise _foreign(home, field, owner.get(field), name)


def _foreign(directory: Path, field: str, found: object, wanted: str) -> StorageError:
    return StorageError(f"{directory}: belongs to {field} {found!r}, not {wanted!r}: choose another --data directory")
