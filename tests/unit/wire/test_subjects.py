"""Names on NATS: as documented, and valid for any cluster, data center and node the configuration allows."""

import re

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.wire.subjects import DatacenterNames, consumer_of

EU = DatacenterNames("shop", "eu")
SHORT_NAMES = st.text("azAZ09-", min_size=1, max_size=32)
NODES = st.text("azAZ09_-", min_size=1, max_size=64)
SIMILAR = st.text("a-", min_size=1, max_size=3)


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a NATS subject matches a pattern with `*` (one token) and `>` (the rest)."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(want in ("*", token) for want, token in zip(wanted, tokens, strict=True))


def test_the_names_are_those_an_operator_finds_in_the_documentation() -> None:
    assert EU.log("eu-1") == "crdtkv.shop.eu.log.eu-1"
    assert EU.geo("us", "eu-1") == "crdtkv.shop.eu.geo.us.eu-1"
    assert EU.stream == "CRDTKV_shop_eu"
    assert EU.topology_bucket == "crdtkv-shop-eu-topology"
    assert consumer_of("us") == "to-us"


@given(SHORT_NAMES, SHORT_NAMES, NODES)
def test_the_stream_captures_what_any_node_logs_and_no_confirmation(cluster: str, datacenter: str, node: str) -> None:
    names = DatacenterNames(cluster, datacenter)
    assert matches(names.stream_subjects, names.log(node))
    assert not matches(names.stream_subjects, names.geo("us", node))


@given(SHORT_NAMES, SHORT_NAMES, SHORT_NAMES, NODES)
def test_a_node_hears_every_data_center_on_its_subject(cluster: str, datacenter: str, sender: str, node: str) -> None:
    names = DatacenterNames(cluster, datacenter)
    assert matches(names.geo_of(node), names.geo(sender, node))
    assert not matches(names.geo_of(node), names.geo(sender, node + "x"))
    assert not matches(names.geo_of(node), names.log(node))


@given(SHORT_NAMES, SHORT_NAMES, SHORT_NAMES, NODES)
def test_names_have_no_character_that_nats_gives_a_meaning(
    cluster: str, datacenter: str, sender: str, node: str
) -> None:
    names = DatacenterNames(cluster, datacenter)
    for name in (names.stream, names.topology_bucket, consumer_of(datacenter)):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
    for subject in (names.log(node), names.geo(sender, node)):
        assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){4,5}", subject)


@given(st.tuples(SIMILAR, SIMILAR), st.tuples(SIMILAR, SIMILAR))
def test_two_data_centers_never_share_a_stream(one: tuple[str, str], other: tuple[str, str]) -> None:
    streams_differ = DatacenterNames(*one).stream != DatacenterNames(*other).stream
    assert streams_differ == (one != other)
