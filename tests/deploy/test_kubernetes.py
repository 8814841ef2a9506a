"""What Kustomize makes of deploy/kubernetes is valid, confined, and fits together.

test_pod.py runs the pods.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import ROOT

validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
from pods import GRACE_S, KUBERNETES, deployment_of, resources_of  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("kustomize") is None, reason="needs kustomize")

FOLDERS = ["base", *sorted(f"overlays/{path.name}" for path in (KUBERNETES / "overlays").iterdir())]
# The oldest version that knows `sleep` in preStop without a feature gate, and the newest here.
VERSIONS = ["1.30", validate.latest_version()]
# The drain timeout of a server and its grace, in seconds.
DRAIN_S = 12
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pod_of(folder: str | Path) -> dict[str, Any]:
    return deployment_of(folder)["spec"]["template"]["spec"]


def containers_of(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def model_of(folder: str | Path) -> dict[str, Any]:
    """The container of the server."""
    return next(c for c in containers_of(pod_of(folder)) if c["name"] == "model")


def by_kind(folder: str) -> dict[str, dict[str, Any]]:
    return {resource["kind"]: resource for resource in resources_of(folder)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_resource_is_valid(folder, version):
    for resource in resources_of(folder):
        validate.validate(resource, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found():
    deployment = deployment_of("base")
    deployment["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(validate.ValidationError, match="readyProbe"):
        validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_container_has_rights_that_it_does_not_need(folder):
    pod = pod_of(folder)
    assert pod["automountServiceAccountToken"] is False
    for container in containers_of(pod):
        rights = pod["securityContext"] | container["securityContext"]
        rights.pop("fsGroup", None)  # of the volumes, and of the pod only
        assert rights == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_memory_for_clients_is_less_than_the_limit_of_the_container(folder):
    model = model_of(folder)
    limit = int(model["resources"]["limits"]["memory"].removesuffix("Mi"))
    clients = next(arg for arg in model["args"] if arg.startswith("--max-memory="))
    assert int(clients.partition("=")[2]) <= limit // 2
    assert {"cpu", "memory"} <= model["resources"]["requests"].keys()
    assert "cpu" not in model["resources"]["limits"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_grace_period_is_longer_than_the_drain(folder):
    pod, model = pod_of(folder), model_of(folder)
    wait = model.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod.get("terminationGracePeriodSeconds", GRACE_S) > wait + DRAIN_S


@pytest.mark.parametrize("folder", ["base", "overlays/tls"])
def test_everything_that_selects_pods_selects_those_of_the_deployment(folder):
    kinds = by_kind(folder)
    deployment = kinds["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    spread = pod_of(folder)["topologySpreadConstraints"][0]["labelSelector"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        spread["matchLabels"],
    ]
    assert selectors == [labels] * len(selectors)
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == deployment["metadata"]["name"]


@pytest.mark.parametrize("folder", ["base", "overlays/tls"])
def test_every_port_that_is_named_is_a_port_of_the_container(folder):
    kinds = by_kind(folder)
    [container] = pod_of(folder)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness")]
    probes.append(container["livenessProbe"]["tcpSocket"])
    named = [port["targetPort"] for port in kinds["Service"]["spec"]["ports"]]
    named += [
        port["port"] for rule in kinds["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]
    ]
    assert {probe["port"] for probe in probes} | set(named) <= ports.keys()
    for name, port in ports.items():
        assert f"--{name}=0.0.0.0:{port}" in container["args"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_model_has_as_long_to_start_as_under_systemd(folder):
    unit = (ROOT / "deploy/systemd/sidecall-.service.d/10-server.conf").read_text()
    probe = model_of(folder)["startupProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert f"\nTimeoutStartSec={seconds}\n" in unit


def test_a_probe_that_starts_a_process_has_time_on_a_busy_node():
    sidecar = model_of("overlays/backend")
    assert [sidecar[probe]["timeoutSeconds"] for probe in PROBES] == [5, 5, 5]
    assert all(sidecar[probe]["periodSeconds"] >= 5 for probe in PROBES[1:])


@pytest.mark.parametrize("folder", ["base", "overlays/tls"])
def test_the_liveness_probe_only_connects(folder):
    [container] = pod_of(folder)["containers"]
    probe = container["livenessProbe"]
    assert {"exec", "grpc", "httpGet", "tcpSocket"} & probe.keys() == {"tcpSocket"}


def test_two_models_of_one_namespace_do_not_share_pods():
    plain, named = (
        deployment_of(f)["spec"]["selector"]["matchLabels"] for f in ("base", "overlays/tls")
    )
    assert plain.items() < named.items()


def test_labels_of_the_model_are_not_asked_of_its_callers():
    for folder in ("base", "overlays/tls"):
        for rule in by_kind(folder)["NetworkPolicy"]["spec"]["ingress"]:
            for peer in rule["from"]:
                assert "matchLabels" not in peer["podSelector"]


@pytest.mark.parametrize("folder", ["base", "overlays/tls"])
def test_from_other_namespaces_only_that_of_prometheus_may_call(folder):
    rules = by_kind(folder)["NetworkPolicy"]["spec"]["ingress"]
    namespaces = [peer.get("namespaceSelector") for rule in rules for peer in rule["from"]]
    assert namespaces == [None, {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}]


def test_a_server_that_needs_no_token_is_scraped_and_one_that_needs_it_is_not():
    def scraped(folder: str) -> str:
        template = deployment_of(folder)["spec"]["template"]
        return template["metadata"]["annotations"]["prometheus.io/scrape"]

    assert "--insecure" in pod_of("base")["containers"][0]["args"]
    assert scraped("base") == "true"
    assert "--insecure" not in pod_of("overlays/tls")["containers"][0]["args"]
    assert scraped("overlays/tls") == "false"


def copied(folder: Path, old: str, new: str) -> Path:
    """A copy of deploy/kubernetes with one change in the Deployment of the backend."""
    shutil.copytree(KUBERNETES, folder)
    file = folder / "overlays/backend/deployment.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder / "overlays/backend"


def test_the_sidecar_starts_before_the_backend_and_runs_beside_it():
    pod = pod_of("overlays/backend")
    [sidecar] = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    [socket] = pod["volumes"]
    assert socket["emptyDir"]["medium"] == "Memory"
    for container in containers_of(pod):
        assert container["volumeMounts"] == [{"name": socket["name"], "mountPath": "/run/app"}]


def test_the_sidecar_leaves_the_grace_period_of_the_pod_as_it_is(tmp_path):
    pods = "    spec:\n      automount"
    own = "    spec:\n      terminationGracePeriodSeconds: 90\n      automount"
    assert pod_of(copied(tmp_path / "copy", pods, own))["terminationGracePeriodSeconds"] == 90


def test_the_sidecar_leaves_the_user_of_the_pod_as_it_is_and_keeps_its_own(tmp_path):
    pod = pod_of(copied(tmp_path / "copy", "runAsUser: 65532", "runAsUser: 1000"))
    assert pod["securityContext"]["runAsUser"] == 1000
    [sidecar] = pod["initContainers"]
    assert sidecar["securityContext"]["runAsUser"] == 65532


def test_a_deployment_without_the_label_gets_no_sidecar(tmp_path):
    overlay = copied(tmp_path / "copy", "sidecall.dev/sidecar: model", "team: payments")
    pod = pod_of(overlay)
    assert "initContainers" not in pod
    assert "volumes" not in pod


def test_kustomize_refuses_a_patch_of_what_is_not_there(tmp_path):
    shutil.copytree(KUBERNETES, tmp_path / "copy")
    patch = tmp_path / "copy/overlays/tls/deployment.yaml"
    patch.write_text(patch.read_text().replace("name: model\n", "name: other\n", 1))
    words = ["kustomize", "build", str(patch.parent)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no matches for Id Deployment" in done.stderr
