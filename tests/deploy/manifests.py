"""The Kubernetes manifests of `deploy/kubernetes`, as plain data.

An overlay does two things: it puts everything into a namespace, and names the StatefulSet. `of` does the same here, so
that most tests need no program; `rendered` is what kustomize itself makes of an overlay, where it is installed.
"""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
CONFIGURATION = DIRECTORY / "base" / "datacenters.yaml"
OVERLAYS = sorted(path.name for path in (DIRECTORY / "overlays").iterdir())


def read(path: Path) -> Object:
    """Return the only document of a file."""
    return yaml.safe_load(path.read_text())


def base() -> list[Object]:
    """Return every object the base lists."""
    files = read(DIRECTORY / "base" / "kustomization.yaml")["resources"]
    return [one for name in files for one in yaml.safe_load_all((DIRECTORY / "base" / name).read_text())]


def of(datacenter: str) -> list[Object]:
    """Return the objects of a data center, without the ConfigMap that kustomize generates."""
    overlay = read(DIRECTORY / "overlays" / datacenter / "kustomization.yaml")
    objects = copy.deepcopy(base())
    for one in objects:
        one["metadata"]["namespace"] = overlay["namespace"]
    (patch,) = overlay["patches"]
    (operation,) = yaml.safe_load(patch["patch"])
    assert patch["target"] == {"kind": "StatefulSet"}
    assert (operation["op"], operation["path"]) == ("replace", "/metadata/name")
    only(objects, "StatefulSet")["metadata"]["name"] = operation["value"]
    return objects


def only(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the one object of a kind, and of a name if there are several."""
    (found,) = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def kustomize() -> list[str] | None:
    """Return the command that renders an overlay, None if this machine has none."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def rendered(command: list[str], datacenter: str) -> list[Object]:
    """Return what kustomize makes of an overlay."""
    overlay = DIRECTORY / "overlays" / datacenter
    done = subprocess.run([*command, str(overlay)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
