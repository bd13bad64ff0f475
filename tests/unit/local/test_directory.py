"""Which directories a local cluster may use."""

from pathlib import Path

import pytest

from crdtkv.config.loader import dump, parse
from crdtkv.errors import CrdtkvError
from crdtkv.local.directory import check_directory
from crdtkv.storage.directory_lock import holding
from crdtkv.storage.identity import Identity, IdentityFile, Owner, save

NODE = "{ name: eu-1, port: 1, http_port: 2 }"
TEXT = f"cluster: shop\ndatacenters: {{ eu: {{ nats: {{ url: nats://n }}, nodes: [{NODE}] }} }}"
CONFIG = parse(TEXT)


def own(home: Path, cluster: str, datacenter: str, node: str) -> None:
    home.mkdir(exist_ok=True)
    save(IdentityFile(home), Owner(cluster, datacenter, node), Identity(7, 1, None))


def refusal(directory: Path) -> str:
    with pytest.raises(CrdtkvError) as caught:
        check_directory(directory, CONFIG)
    return str(caught.value)


def test_an_empty_directory_and_that_of_this_cluster_may_be_used(tmp_path: Path) -> None:
    check_directory(tmp_path, CONFIG)
    (tmp_path / "datacenters.yaml").write_text(dump(CONFIG))
    own(tmp_path / "eu-1", "shop", "eu", "eu-1")
    own(tmp_path / "eu-2", "shop", "eu", "eu-2")  # a node that was taken out of the file
    (tmp_path / "eu").mkdir()
    check_directory(tmp_path, CONFIG)


def test_a_directory_another_cluster_left_is_refused(tmp_path: Path) -> None:
    (tmp_path / "datacenters.yaml").write_text(TEXT.replace("shop", "bank"))
    assert refusal(tmp_path) == f"{tmp_path}: belongs to cluster 'bank', not 'shop': choose another --data directory"


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (("bank", "eu", "eu-1"), "cluster 'bank', not 'shop'"),
        (("shop", "us", "eu-1"), "datacenter 'us', not 'eu'"),
        (("shop", "eu", "eu-7"), "node 'eu-7', not 'eu-1'"),
    ],
)
def test_a_node_of_somebody_else_makes_its_directory_refused(
    tmp_path: Path, owner: tuple[str, str, str], message: str
) -> None:
    own(tmp_path / "eu-1", *owner)
    assert refusal(tmp_path) == f"{tmp_path / 'eu-1'}: belongs to {message}: choose another --data directory"


def test_a_directory_in_which_a_node_runs_is_refused_and_so_is_that_of_a_single_node(tmp_path: Path) -> None:
    with holding(tmp_path / "other", "crdtkv node other"):
        assert refusal(tmp_path).startswith(f"{tmp_path / 'other'}: in use by crdtkv node other, process ")
    own(tmp_path, "shop", "eu", "eu-1")
    assert "is the directory of a single node" in refusal(tmp_path)


def test_no_node_may_have_the_directory_that_cuts_have(tmp_path: Path) -> None:
    with pytest.raises(CrdtkvError, match="'cuts' cannot name a node or data center"):
        check_directory(tmp_path, parse(TEXT.replace("eu-1", "cuts")))
