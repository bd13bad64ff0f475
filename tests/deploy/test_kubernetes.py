"""The Kubernetes manifests are valid, and fit `datacenters.yaml`.

They are checked against the official schemas, strictly: a misspelled field fails. What no schema knows, that names,
ports and labels agree, is checked here. Nothing here needs a cluster, or shows what one does with them.
"""

import copy
import json
import re
from typing import Any

import kubernetes_validate
import pytest
import typer

from crdtkv.cli.app import app
from crdtkv.config.loader import load, parse
from crdtkv.config.model import DatacenterConfig

from . import manifests
from .manifests import Object, only

VERSIONS = ["1.35", "1.37"]
CONFIG = load(manifests.CONFIGURATION)

each_datacenter = pytest.mark.parametrize("datacenter", manifests.OVERLAYS)
each_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def kustomize() -> list[str]:
    command = manifests.kustomize()
    if command is None:
        pytest.skip("neither kustomize nor kubectl is on this machine: the overlays are not rendered")
    return command


def assert_valid(one: Object, version: str) -> None:
    """Check an object against the official schema of exactly this version."""
    assert kubernetes_validate.validate(one, version, strict=True) == version


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def pod_of(objects: list[Object]) -> Object:
    return only(objects, "StatefulSet")["spec"]["template"]


def container_of(objects: list[Object]) -> Object:
    (container,) = pod_of(objects)["spec"]["containers"]
    return container


def ports_of(objects: list[Object]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container_of(objects)["ports"]}


def section(datacenter: str) -> DatacenterConfig:
    return CONFIG.datacenters[datacenter]


@each_version
def test_every_object_of_the_base_is_valid(version: str) -> None:
    for one in manifests.base():
        assert_valid(one, version)


@each_version
@each_datacenter
def test_every_object_that_kustomize_renders_is_valid(kustomize: list[str], datacenter: str, version: str) -> None:
    for one in manifests.rendered(kustomize, datacenter):
        assert_valid(one, version)


@each_version
@pytest.mark.parametrize(
    ("kind", "path", "misspelled"),
    [
        ("StatefulSet", ["spec"], "podManagmentPolicy"),
        ("StatefulSet", ["spec", "template", "spec", "containers", 0, "securityContext"], "readonlyRootFilesystem"),
        ("PodDisruptionBudget", ["spec"], "maxUnavailble"),
        ("NetworkPolicy", ["spec", "ingress", 0, "from", 0], "podSelecter"),
        ("ServiceAccount", [], "automountServiceAcountToken"),
    ],
)
def test_a_misspelled_field_is_refused(kind: str, path: list[Any], misspelled: str, version: str) -> None:
    one = copy.deepcopy(next(one for one in manifests.base() if one["kind"] == kind))
    assert_valid(one, version)
    inner = one
    for step in path:
        inner = inner[step]
    inner[misspelled] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match=misspelled):
        assert_valid(one, version)


@each_datacenter
def test_kustomize_renders_what_these_tests_read(kustomize: list[str], datacenter: str) -> None:
    objects = manifests.rendered(kustomize, datacenter)
    generated = only(objects, "ConfigMap")
    objects.remove(generated)
    name = generated["metadata"]["name"]
    assert re.fullmatch(r"datacenters-[a-z0-9]{10}", name)
    as_in_base = json.loads(json.dumps(objects).replace(name, "datacenters"))
    assert by_name(as_in_base) == by_name(manifests.of(datacenter))


@each_datacenter
def test_nodes_read_the_one_file_of_all_data_centers(kustomize: list[str], datacenter: str) -> None:
    (name, text), *others = only(manifests.rendered(kustomize, datacenter), "ConfigMap")["data"].items()
    assert (name, parse(text), others) == ("datacenters.yaml", CONFIG, [])


def test_every_data_center_has_its_overlay() -> None:
    assert sorted(CONFIG.datacenters) == manifests.OVERLAYS


def test_no_two_data_centers_share_a_namespace() -> None:
    spaces = [one["metadata"]["namespace"] for dc in manifests.OVERLAYS for one in manifests.of(dc)[:1]]
    assert len(set(spaces)) == len(manifests.OVERLAYS)


@each_datacenter
def test_nodes_are_called_as_their_pods(datacenter: str) -> None:
    nodes = only(manifests.of(datacenter), "StatefulSet")
    pods = [f"{nodes['metadata']['name']}-{ordinal}" for ordinal in range(nodes["spec"]["replicas"])]
    assert [node.name for node in section(datacenter).nodes] == pods


@each_datacenter
def test_hosts_are_the_names_that_pods_have_through_the_headless_service(datacenter: str) -> None:
    objects = manifests.of(datacenter)
    nodes = only(objects, "StatefulSet")
    service = only(objects, "Service", nodes["spec"]["serviceName"])
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    suffix = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    assert [node.host for node in section(datacenter).nodes] == [
        f"{node.name}.{suffix}" for node in section(datacenter).nodes
    ]


@each_datacenter
def test_ports_are_the_containers(datacenter: str) -> None:
    ports = ports_of(manifests.of(datacenter))
    for node in section(datacenter).nodes:
        assert ports == {"node": node.port, "http": node.http_port}


@each_datacenter
def test_services_lead_to_the_same_port_of_the_pods(datacenter: str) -> None:
    objects = manifests.of(datacenter)
    ports = ports_of(objects)
    services = [one for one in objects if one["kind"] == "Service"]
    assert {one["metadata"]["name"] for one in services} == {"nodes", "crdtkv"}
    for service in services:
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]


@each_datacenter
def test_clients_are_led_to_ready_nodes_only(datacenter: str) -> None:
    service = only(manifests.of(datacenter), "Service", "crdtkv")["spec"]
    assert "publishNotReadyAddresses" not in service
    assert [port["targetPort"] for port in service["ports"]] == ["node"]


@each_datacenter
def test_everything_that_selects_nodes_selects_the_pods(datacenter: str) -> None:
    objects = manifests.of(datacenter)
    spec = only(objects, "StatefulSet")["spec"]
    selectors = [
        *(one["spec"]["selector"] for one in objects if one["kind"] == "Service"),
        spec["selector"]["matchLabels"],
        only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(objects, "NetworkPolicy", "nodes")["spec"]["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in spec["template"]["spec"]["topologySpreadConstraints"]),
    ]
    assert selectors == [pod_of(objects)["metadata"]["labels"]] * len(selectors)


@each_datacenter
def test_probes_ask_for_what_a_node_serves_at_a_port_that_exists(datacenter: str) -> None:
    container = container_of(manifests.of(datacenter))
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
    }
    assert "http" in ports_of(manifests.of(datacenter))


@each_datacenter
def test_every_mount_has_its_volume_and_the_configuration_lies_where_nodes_look(datacenter: str) -> None:
    objects = manifests.of(datacenter)
    container = container_of(objects)
    claims = [claim["metadata"]["name"] for claim in only(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]]
    volumes = [volume["name"] for volume in pod_of(objects)["spec"]["volumes"]]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert sorted(mounts) == sorted(claims + volumes)
    assert claims == ["data"]
    assert container["args"][-2:] == ["--data", mounts["data"]]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment == {"POD_NAME": None, "CRDTKV_CONFIG": f"{mounts['datacenters']}/datacenters.yaml"}


@each_datacenter
def test_a_pod_may_do_no_more_than_it_needs(datacenter: str) -> None:
    objects = manifests.of(datacenter)
    pod, container = pod_of(objects)["spec"], container_of(objects)
    account = only(objects, "ServiceAccount")
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def peers_of(policy: Object) -> list[Object]:
    (rule,) = policy["spec"]["ingress"]
    return rule["from"]


@each_datacenter
def test_nodes_are_reached_by_nodes_and_by_pods_with_the_clients_label_only(datacenter: str) -> None:
    objects = manifests.of(datacenter)
    policy = only(objects, "NetworkPolicy", "nodes")
    client = {"matchLabels": {"crdtkv-client": "true"}}
    nodes = {"matchLabels": pod_of(objects)["metadata"]["labels"]}
    in_this_space, in_others, of_all = peers_of(policy)
    assert in_this_space == {"podSelector": client}
    assert in_others == {"namespaceSelector": client, "podSelector": client}
    assert of_all["podSelector"] == nodes
    assert {port["port"] for port in policy["spec"]["ingress"][0]["ports"]} == set(ports_of(objects).values())


def test_policies_know_the_namespaces_of_all_data_centers() -> None:
    spaces = sorted(manifests.of(datacenter)[0]["metadata"]["namespace"] for datacenter in manifests.OVERLAYS)
    for policy in (one for one in manifests.base() if one["kind"] == "NetworkPolicy"):
        (expression,) = [
            expression
            for peer in peers_of(policy)
            for expression in peer.get("namespaceSelector", {}).get("matchExpressions", [])
        ]
        assert (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "In")
        assert sorted(expression["values"]) == spaces


def test_a_pod_calls_the_program_as_the_program_wants_it() -> None:
    (verb, *arguments) = (part.replace("$(POD_NAME)", "eu-0") for part in container_of(manifests.of("eu"))["args"])
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    parsed = command.make_context(verb, arguments).params
    assert (parsed["name"], parsed["listen"], parsed["insecure_network"]) == ("eu-0", "0.0.0.0", True)
