"""The configuration file: its values are loaded, and every error is one line in the words of the file."""

from pathlib import Path

import pytest

from crdtkv.config.loader import dump, load, parse
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "datacenters.yaml"

LEVELS = (
    "'ANY', 'ONE', 'SLOPPY_QUORUM', 'LOCAL_QUORUM', 'LOCAL_ALL', 'LINEARIZABLE', "
    "'REMOTE_QUORUM', 'EACH_QUORUM' or 'ALL'"
)

NATS_URL = "must be nats://HOST:PORT or tls://HOST:PORT"
MONITOR_URL = "must be http://HOST:PORT or https://HOST:PORT"
ONE_SERVER = "must name one NATS server, not several: give the server, or the proxy before several, one name"
HOST = "must be a host name or an IP address, without a port or anything else"
BOOLEANS = "YAML reads yes, no, on and off as true and false (put text in quotes)"
NO_NATS_URLS = (
    "http://n",
    "n",
    "'nats://'",
    "nats://n:abc",
    "nats://n:0",
    "nats://n:70000",
    "'nats://n:'",
    "nats://n/x",
)


def text_with(**changes: str) -> str:
    """Return a good file, with some of its values exchanged."""
    values = {
        "cluster": "shop",
        "partitions": "256",
        "replication_factor": "3",
        "url": "nats://127.0.0.1:4222",
        "name": "eu-3",
        "host": "127.0.0.1",
        "port": "7403",
        "zone": "c",
        "weight": "1",
        "bucket": "carts",
        "consistency": "ONE",
        "more": "",
    } | changes
    return """
cluster: {cluster}
partitions: {partitions}
buckets:
  {bucket}: {{ consistency: {consistency} }}
datacenters:
  eu:
    replication_factor: {replication_factor}
    nats: {{ url: {url} }}
    nodes:
      - {{ name: eu-1, port: 7401, http_port: 7421 }}
      - {{ name: eu-2, port: 7402, http_port: 7422, zone: b, weight: 2 }}
      - {{ name: {name}, host: {host}, port: {port}, http_port: 7423, zone: {zone}, weight: {weight} }}
{more}
""".format(**values)


def mistakes(text: str) -> list[str]:
    """Return what is wrong with a file, line by line."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    lines = str(caught.value).split("\n")
    assert all(line.startswith("datacenters.yaml: ") for line in lines)
    return [line.removeprefix("datacenters.yaml: ") for line in lines]


def test_a_good_file_is_loaded_with_its_values_and_the_defaults() -> None:
    config = parse(text_with())
    assert config.cluster == "shop"
    assert config.partitions == 256
    first, second, _ = config.datacenters["eu"].nodes
    assert (first.name, first.host, first.zone, first.weight) == ("eu-1", "127.0.0.1", "default", 1.0)
    assert (second.zone, second.weight) == ("b", 2.0)
    assert config.geo.batch_max == 512
    assert config.limits.clock_drift_max_s == 60
    assert config.storage.free_space_floor_mib == 256


def test_the_smallest_file_names_one_node_and_its_nats() -> None:
    config = parse("datacenters: {eu: {nats: {url: 'tls://n'}, nodes: [{name: a, port: 1, http_port: 2}]}}")
    assert (config.cluster, config.partitions) == ("crdtkv", 256)
    assert config.datacenters["eu"].replication_factor == 3


def test_the_example_file_of_the_repository_is_good() -> None:
    config = load(EXAMPLE)
    assert sorted(config.datacenters) == ["eu", "us"]
    assert [node.name for node in config.datacenters["us"].nodes] == ["us-1", "us-2", "us-3"]


def test_what_is_dumped_is_loaded_again_as_it_was() -> None:
    for config in (load(EXAMPLE), parse(text_with(weight="0.25"))):
        assert parse(dump(config)) == config


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"weight": "0"}, "datacenters.eu.nodes[2].weight must be > 0"),
        ({"weight": "-1"}, "datacenters.eu.nodes[2].weight must be > 0"),
        ({"weight": "65"}, "datacenters.eu.nodes[2].weight must be <= 64"),
        ({"weight": ".inf"}, "datacenters.eu.nodes[2].weight must be <= 64"),
        ({"weight": ".nan"}, "datacenters.eu.nodes[2].weight must be <= 64"),
        ({"weight": "heavy"}, "datacenters.eu.nodes[2].weight must be a number"),
        ({"weight": "[1]"}, "datacenters.eu.nodes[2].weight must be a number"),
        ({"port": "0"}, "datacenters.eu.nodes[2].port must be >= 1"),
        ({"port": "65536"}, "datacenters.eu.nodes[2].port must be <= 65535"),
        ({"port": "http"}, "datacenters.eu.nodes[2].port must be a whole number"),
        ({"port": "74.5"}, "datacenters.eu.nodes[2].port must be a whole number"),
        ({"port": "~"}, "datacenters.eu.nodes[2].port must be a whole number"),
        ({"name": "eu.3"}, "datacenters.eu.nodes[2].name must match ^[A-Za-z0-9_-]{1,64}$"),
        ({"name": "3"}, "datacenters.eu.nodes[2].name must be text (put it in quotes)"),
        ({"name": '"{3}"'}, "datacenters.eu.nodes[2].name must match ^[A-Za-z0-9_-]{1,64}$"),
        ({"name": "eu-2"}, "datacenters.eu.nodes[2].name must be unique, 'eu-2' is not"),
        ({"host": "7"}, "datacenters.eu.nodes[2].host must be text (put it in quotes)"),
        ({"zone": "'a b'"}, "datacenters.eu.nodes[2].zone must match ^[A-Za-z0-9_-]{1,64}$"),
        ({"zone": "1"}, "datacenters.eu.nodes[2].zone must be text (put it in quotes)"),
        ({"weight": "1, rack: r7"}, "datacenters.eu.nodes[2].rack is not a known field"),
        ({"replication_factor": "0"}, "datacenters.eu.replication_factor must be >= 1"),
        ({"replication_factor": "10"}, "datacenters.eu.replication_factor must be <= 9"),
        *(({"url": url}, f"datacenters.eu.nats.url {NATS_URL}") for url in NO_NATS_URLS),
        *(
            ({"url": f"nats://n, url_from: {{ eu: {url} }}"}, f"datacenters.eu.nats.url_from.eu {NATS_URL}")
            for url in NO_NATS_URLS
        ),
        *(
            ({"url": f"'nats://n', monitor_url: {url}"}, f"datacenters.eu.nats.monitor_url {MONITOR_URL}")
            for url in ("n", "'http://'", "http://n:http", "http://n:65536", "http://n:0", "nats://n:8222")
        ),
        ({"url": "'nats://a:1,nats://b:2'"}, f"datacenters.eu.nats.url {ONE_SERVER}"),
        ({"url": "nats://n, url_from: { us: 'nats://a,nats://b' }"}, f"datacenters.eu.nats.url_from.us {ONE_SERVER}"),
        *(
            ({"host": host}, f"datacenters.eu.nodes[2].host {HOST}")
            for host in (
                "'1.2.3.4:5'",
                "nats://n",
                "'a b'",
                "''",
                "1.2.3",
                "256.1.1.1",
                "-a",
                "a..b",
                "'a/b'",
                "'[::1]'",
            )
        ),
        ({"port": "true"}, f"datacenters.eu.nodes[2].port must not be true: {BOOLEANS}"),
        ({"weight": "yes"}, f"datacenters.eu.nodes[2].weight must not be true: {BOOLEANS}"),
        ({"name": "no"}, f"datacenters.eu.nodes[2].name must not be false: {BOOLEANS}"),
        ({"host": "off"}, f"datacenters.eu.nodes[2].host must not be false: {BOOLEANS}"),
        ({"partitions": "on"}, f"partitions must not be true: {BOOLEANS}"),
        ({"bucket": "no"}, "buckets.no must be text: YAML reads no as true or false (put it in quotes)"),
        ({"more": "On: 1"}, "On must be text: YAML reads On as true or false (put it in quotes)"),
        ({"partitions": "0"}, "partitions must be >= 1"),
        ({"partitions": "131072"}, "partitions must be <= 65536"),
        ({"partitions": "100"}, "partitions must be a power of two"),
        ({"cluster": "my_shop"}, "cluster must match ^[A-Za-z0-9-]{1,32}$"),
        ({"cluster": "2024-10-10"}, "cluster must be text (put it in quotes)"),
        ({"bucket": "'my carts'"}, "buckets.my carts must match ^[A-Za-z0-9_-]{1,64}$"),
        ({"bucket": "7"}, "buckets.7 must be text (put it in quotes)"),
        (
            {"consistency": "MOST"},
            f"buckets.carts.consistency must be one of {LEVELS}",
        ),
        ({"more": "geo: { republish_after_s: 0 }"}, "geo.republish_after_s must be > 0"),
        ({"more": "geo: { outbox_max: 99 }"}, "geo.outbox_max must be >= 100"),
        ({"more": "collection: { gc_grace_s: 60 }"}, "collection.gc_grace_s must be >= 900"),
        ({"more": "collection: { interval_s: 0 }"}, "collection.interval_s must be > 0"),
        ({"more": "collection: { batch_max: 0 }"}, "collection.batch_max must be >= 1"),
        ({"more": "repair: { read_share: 2 }"}, "repair.read_share must be <= 1"),
        ({"more": "limits: 5"}, "limits must be a mapping"),
        ({"more": "storage: { write_buffer_mib: }"}, "storage.write_buffer_mib must be a whole number"),
        ({"more": "colour: red"}, "colour is not a known field"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_with_the_path_of_its_field(changes: dict[str, str], line: str) -> None:
    assert mistakes(text_with(**changes)) == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "datacenters is required"),
        ("datacenters: {}", "datacenters must have at least 1 item"),
        ("datacenters: []", "datacenters must be a mapping"),
        ("datacenters: { eu: }", "datacenters.eu must be a mapping"),
        (
            "datacenters: { eu: { nats: { url: nats://n }, nodes: [] } }",
            "datacenters.eu.nodes must have at least 1 item",
        ),
        ("datacenters: { eu: { nats: { url: nats://n }, nodes: {} } }", "datacenters.eu.nodes must be a list"),
        (
            "datacenters: { eu: { nats: { url: nats://n }, nodes: [eu-1] } }",
            "datacenters.eu.nodes[0] must be a mapping",
        ),
        (
            "datacenters: { e_u: { nats: { url: nats://n }, nodes: [{ name: a, port: 1, http_port: 2 }] } }",
            "datacenters.e_u must match ^[A-Za-z0-9-]{1,32}$",
        ),
        (
            text_with(url="nats://n, url_from: { us: nats://m }"),
            "datacenters.eu.nats.url_from.us must name another data center",
        ),
        (
            text_with(url="nats://n, url_from: { eu: nats://m }"),
            "datacenters.eu.nats.url_from.eu must name another data center",
        ),
        ("", "must be a mapping with the field 'datacenters'"),
        ("- eu", "must be a mapping with the field 'datacenters'"),
    ],
)
def test_a_file_of_another_shape_is_told_where_it_differs(text: str, line: str) -> None:
    assert mistakes(text) == [line]


def test_a_node_name_is_unique_across_data_centers() -> None:
    both = "{ nats: { url: nats://n }, nodes: [{ name: a, port: 1, http_port: 2 }] }"
    lines = mistakes(f"datacenters: {{ eu: {both}, us: {both} }}")
    assert lines == ["datacenters.us.nodes[0].name must be unique, 'a' is not"]


def node(name: str, port: int, http_port: int, host: str = "127.0.0.1") -> str:
    return f"{{ name: {name}, host: '{host}', port: {port}, http_port: {http_port} }}"


def datacenter(name: str, nats: str, *nodes: str) -> str:
    return f"  {name}: {{ nats: {{ {nats} }}, nodes: [{', '.join(nodes)}] }}\n"


@pytest.mark.parametrize(
    ("host", "other"),
    [("10.0.0.1", "10.0.0.1"), ("n.example", "N.EXAMPLE."), ("localhost", "127.0.0.1"), ("::1", "0:0:0:0:0:0:0:1")],
)
def test_an_address_is_that_of_one_node_however_its_host_is_written(host: str, other: str) -> None:
    text = datacenter("eu", "url: nats://n", node("a", 11, 12, host), node("b", 13, 11, other))
    (line,) = mistakes(f"datacenters:\n{text}")
    assert line.startswith("datacenters.eu.nodes[1].http_port must be an address of its own: ")
    assert line.endswith(":11 is that of datacenters.eu.nodes[0].port, too")


def test_the_same_ports_on_other_hosts_are_other_addresses() -> None:
    text = datacenter("eu", "url: nats://n", node("a", 11, 12, "a"), node("b", 11, 12, "b"))
    assert len(parse(f"datacenters:\n{text}").datacenters["eu"].nodes) == 2


@pytest.mark.parametrize(
    ("eu", "us", "path"),
    [
        ("url: nats://n:1", "url: nats://n:1", "datacenters.us.nats.url"),
        ("url: nats://n", "url: 'nats://n:4222'", "datacenters.us.nats.url"),
        ("url: nats://n:1", "url: nats://n:2, url_from: { eu: 'nats://n:1' }", "datacenters.us.nats.url_from.eu"),
        ("url: nats://n:1, monitor_url: 'http://n:3'", "url: nats://n:2, monitor_url: 'http://n:3'", "monitor_url"),
        ("url: nats://n:1, monitor_url: 'http://n:1'", "url: nats://n:2", "datacenters.eu.nats.monitor_url"),
        ("url: 'nats://127.0.0.1:11'", "url: nats://n:2", "datacenters.eu.nats.url"),
    ],
)
def test_two_nats_servers_have_two_addresses(eu: str, us: str, path: str) -> None:
    text = datacenter("eu", eu, node("a", 11, 12)) + datacenter("us", us, node("b", 13, 14))
    (line,) = mistakes(f"datacenters:\n{text}")
    assert f"{path} must be an address of its own: " in line


def test_data_centers_in_networks_of_their_own_may_use_the_same_nats_address() -> None:
    there = "url: 'nats://nats:4222', monitor_url: 'http://nats:8222'"
    text = datacenter("eu", there + ", url_from: { us: 'nats://eu.example' }", node("a", 11, 12))
    text += datacenter("us", there + ", url_from: { eu: 'nats://us.example' }", node("b", 13, 14))
    assert sorted(parse(f"datacenters:\n{text}").datacenters) == ["eu", "us"]


def test_a_name_that_is_there_twice_is_refused_wherever_it_is() -> None:
    dc = datacenter("eu", "url: nats://n, url: nats://m", "{ name: a, port: 1, port: 1, http_port: 2 }")
    text = f"cluster: a\nbuckets:\n  x: {{ ttl_s: 60 }}\n  'x': {{}}\ndatacenters:\n{dc}{dc}cluster: b\n"
    assert mistakes(text) == [
        "buckets.x is there twice, in lines 3 and 4: take one away",
        "datacenters.eu.nats.url is there twice, in lines 6 and 6: take one away",
        "datacenters.eu.nodes[0].port is there twice, in lines 6 and 6: take one away",
        "datacenters.eu is there twice, in lines 6 and 7: take one away",
        "datacenters.eu.nats.url is there twice, in lines 7 and 7: take one away",
        "datacenters.eu.nodes[0].port is there twice, in lines 7 and 7: take one away",
        "cluster is there twice, in lines 1 and 8: take one away",
    ]


def test_a_part_that_is_used_by_its_alias_is_no_duplicate() -> None:
    text = "buckets:\n  a: &usual { ttl_s: 60 }\n  b: *usual\n  c: { <<: *usual, consistency: ONE }\ndatacenters:\n"
    buckets = parse(text + datacenter("eu", "url: nats://n", node("a", 11, 12))).buckets
    assert [(name, bucket.ttl_s) for name, bucket in buckets.items()] == [("a", 60), ("b", 60), ("c", 60)]


def test_several_mistakes_are_several_lines_in_the_order_of_the_model() -> None:
    text = text_with(weight="0", port="0", url="http://n", consistency="MOST", more="geo: { batch_max: 0 }")
    assert mistakes(text) == [
        f"datacenters.eu.nats.url {NATS_URL}",
        "datacenters.eu.nodes[2].port must be >= 1",
        "datacenters.eu.nodes[2].weight must be > 0",
        f"buckets.carts.consistency must be one of {LEVELS}",
        "geo.batch_max must be >= 1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("cluster: [shop", id="an open list"),
        pytest.param("cluster: shop\n\tpartitions: 1", id="a tab"),
        pytest.param("a: b: c", id="two colons"),
        pytest.param("? [a]\n: b", id="a list as a key"),
        pytest.param("cluster: !!python/object:os.system {}", id="a tag that would run code"),
        pytest.param("cluster: \x00", id="a control character"),
        pytest.param("cluster: *nowhere", id="an alias of nothing"),
        pytest.param("cluster: 2024-13-45", id="a date that is none"),
        pytest.param("[" * 5_000, id="brackets without end"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(text: str) -> None:
    (line,) = mistakes(text)
    assert line.startswith("not valid YAML: ")


def test_errors_name_the_file_they_were_found_in(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text_with(weight="0", port="0"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).split("\n") == [
        f"{path}: datacenters.eu.nodes[2].port must be >= 1",
        f"{path}: datacenters.eu.nodes[2].weight must be > 0",
    ]


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.yaml", tmp_path, binary):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: cannot be read: ")
        assert "\n" not in str(caught.value)


def test_a_loaded_configuration_cannot_be_changed() -> None:
    config = parse(text_with())
    with pytest.raises(ValueError, match="frozen"):
        config.cluster = "other"
    assert isinstance(config, ClusterConfig)
