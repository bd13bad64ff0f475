"""The targets of `connect`, and its errors for all other arguments."""

from pathlib import Path
from typing import Any

import pytest

import crdtkv
from crdtkv.client.targets import resolved
from crdtkv.config.loader import load
from crdtkv.errors import ConfigError, InvalidRequest

A, B = ("eu-1", 7401), ("10.0.0.2", 7402)
EXAMPLE = Path(__file__).parents[3] / "datacenters.yaml"


@pytest.mark.parametrize(
    "targets",
    [
        ("eu-1:7401", "10.0.0.2:7402"),
        (["eu-1:7401", "10.0.0.2:7402"],),
        (("eu-1:7401",), ["10.0.0.2:7402"]),
        ("eu-1:7401,10.0.0.2:7402",),
        (" eu-1:7401 , 10.0.0.2:7402 ,",),
        ("crdtkv://eu-1:7401,10.0.0.2:7402",),
        ("crdtkv://eu-1:7401,10.0.0.2:7402/",),
        (["crdtkv://eu-1:7401", "10.0.0.2:7402"],),
    ],
    ids=repr,
)
def test_addresses_may_be_passed_in_many_forms(targets: tuple[Any, ...]) -> None:
    assert resolved(targets, None) == ("", [A, B], {})


def test_an_ipv6_address_needs_brackets() -> None:
    assert resolved(("[::1]:7401", "crdtkv://[fe80::1]:7402/"), None).addresses == [("::1", 7401), ("fe80::1", 7402)]
    for wrong in ("::1:7401", "[::1:7401", "::1]:7401"):
        with pytest.raises(InvalidRequest, match=r"\[host\]:port"):
            resolved((wrong,), None)


def test_a_url_may_have_data_center_level_and_timeout() -> None:
    url = "crdtkv://eu-1:7401/?datacenter=eu&consistency=ONE&timeout=2.5"
    assert resolved((url,), None).parameters == {"datacenter": "eu", "consistency": "ONE", "timeout": "2.5"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nats://127.0.0.1:7410", "it belongs to a NATS server"),
        ("http://127.0.0.1:7421", "http_port has metrics and health only"),
        ("https://127.0.0.1:7421", "it belongs to a web server"),
        ("redis://127.0.0.1:6379", "it belongs to a Redis server"),
        ("mongodb://127.0.0.1:1", "crdtkv does not use it"),
        ("localhost", "there is no port in 'localhost'"),
        ("localhost:", "there is no port in"),
        ("[::1]", "there is no port in"),
        ("crdtkv://localhost", "there is no port in 'localhost'"),
        ("crdtkv://", "host:port"),
        (":7401", "host:port"),
        ("eu-1:0", "host:port"),
        ("eu-1:70000", "host:port"),
        ("eu-1:٧٤٠١", "host:port"),
        ("", "host:port"),
        (",", "host:port"),
        ("eu-1:7401,eu-2", "there is no port in 'eu-2'"),
        ("crdtkv://user:secret@eu-1:7401", "no user and no password"),
        ("crdtkv://eu-1:7401/shop", "'/shop'"),
        ("crdtkv://eu-1:7401/?dc=eu", "no parameter 'dc': one of datacenter, consistency, timeout"),
        ("crdtkv://eu-1:7401/?timeout=1&timeout=2", "timeout twice"),
        ("crdtkv://eu-1:7401/?datacenter", "is not a URL"),
        ("crdtkv://[eu-1:7401", "is not a URL"),
        (7, "not 7"),
        (None, "not None"),
        (b"eu-1:7401", "not b'eu-1:7401'"),
        ([["eu-1:7401"], 7], "not 7"),
    ],
    ids=repr,
)
def test_the_error_for_a_wrong_address_explains_the_mistake(target: Any, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        crdtkv.connect(target)
    assert says in str(caught.value)


def test_addresses_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="different values of datacenter"):
        resolved(("crdtkv://eu-1:7401/?datacenter=eu", "crdtkv://us-1:7501/?datacenter=us"), None)


def test_no_address_is_refused() -> None:
    for targets in ((), ([],), ((), [])):
        with pytest.raises(InvalidRequest, match="at least one address"):
            resolved(targets, None)


@pytest.mark.parametrize("target", [str(EXAMPLE), EXAMPLE, load(EXAMPLE)], ids=["text", "path", "configuration"])
def test_the_nodes_of_the_preferred_data_center_of_a_configuration_come_first(target: Any) -> None:
    cluster, addresses, _ = resolved((target,), "us")
    assert cluster == "shop"
    assert [port for _, port in addresses] == [7501, 7502, 7503, 7401, 7402, 7403]
    with pytest.raises(InvalidRequest, match="no data center 'mars' in the configuration: one of eu, us"):
        resolved((target,), "mars")


def test_a_configuration_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        crdtkv.connect("nowhere.yaml")


@pytest.mark.parametrize(
    "wrong", [{"consistency": "MOST"}, {"timeout": 0}, {"datacenter": 7}, {"consistency": 3}], ids=repr
)
def test_wrong_arguments_of_connect_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        crdtkv.connect("eu-1:7401", **wrong)


@pytest.mark.parametrize("query", ["consistency=MOST", "timeout=0", "timeout=soon", "timeout=inf"])
def test_wrong_parameters_of_a_url_are_refused_as_arguments_are(query: str) -> None:
    with pytest.raises(InvalidRequest):
        crdtkv.connect(f"crdtkv://eu-1:7401/?{query}")


@pytest.mark.parametrize("name", ["put", "get", "counter", "datacenter", "close"])
def test_a_client_that_was_not_awaited_raises_an_error(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"not connected yet, so it has no .*kv = await crdtkv.connect"):
        getattr(crdtkv.connect("eu-1:7401"), name)


def test_an_attribute_that_no_client_has_is_an_ordinary_attribute_error() -> None:
    assert not hasattr(crdtkv.connect("eu-1:7401"), "fly")


def test_a_client_in_a_plain_with_raises_an_error_with_the_right_form() -> None:
    with pytest.raises(InvalidRequest, match="async with"), crdtkv.connect("eu-1:7401"):  # type: ignore[attr-defined]
        pass
