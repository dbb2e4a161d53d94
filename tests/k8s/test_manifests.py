"""The rendered manifests: valid for an API server, consistent with each other, safe to admit."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import treespan

Manifest = dict[str, Any]
NAMESPACE = "treespan"


def _find(node: Any, key: str) -> Iterator[Any]:
    """Every value under ``key``, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _find(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _find(value, key)


def _pods(documents: list[Manifest]) -> list[Any]:
    """The pod specs inside the documents: heads, workers and the submitter."""
    found = [spec for d in documents for spec in _find(d, "spec") if "containers" in spec]
    assert len(found) == 5, "two heads, two groups of workers, one submitter"
    return found


def _clusters(documents: list[Manifest]) -> list[Any]:
    keys = ("rayClusterSpec", "rayClusterConfig")
    found = [cluster for d in documents for key in keys for cluster in _find(d, key)]
    assert len(found) == 2
    return found


@pytest.mark.parametrize(
    ("folder", "kinds"),
    [
        ("base", ["Namespace", "PersistentVolumeClaim", "RayJob", "RayService", "ServiceAccount"]),
        ("jobs", ["RayJob"]),
        ("serve", ["RayService"]),
    ],
)
def test_every_rendered_document_is_valid(
    folder: str,
    kinds: list[str],
    render: Callable[[str], list[Manifest]],
    violations: Callable[[Manifest], list[str]],
) -> None:
    documents = render(folder)
    assert sorted(d["kind"] for d in documents) == kinds
    for document in documents:
        assert violations(document) == [], document["kind"]


def test_a_part_rendered_alone_is_the_same_as_in_the_base(
    rendered: list[Manifest], render: Callable[[str], list[Manifest]]
) -> None:
    for document in render("jobs") + render("serve"):
        assert document in rendered


def test_everything_is_in_one_namespace_that_is_made_too(rendered: list[Manifest]) -> None:
    for document in rendered:
        metadata = document["metadata"]
        home = metadata["name" if document["kind"] == "Namespace" else "namespace"]
        assert home == NAMESPACE, document["kind"]


def test_all_pods_run_one_image_at_one_version(rendered: list[Manifest]) -> None:
    assert set(_find(rendered, "image")) == {f"treespan:{treespan.__version__}"}


def test_what_a_pod_names_exists(rendered: list[Manifest]) -> None:
    names = {(d["kind"], d["metadata"]["name"]) for d in rendered}
    for pod in _pods(rendered):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for claim in _find(pod, "persistentVolumeClaim"):
            assert ("PersistentVolumeClaim", claim["claimName"]) in names
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes


def test_the_volume_can_be_mounted_by_many_pods(rendered: list[Manifest]) -> None:
    (claim,) = (d for d in rendered if d["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def _admission_complaints(pod: Any, containers: list[Any]) -> Iterator[str]:
    """What the restricted Pod Security Standard, which the namespace enforces, would refuse."""
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
        yield "may run as root"
    if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "no seccomp profile"
    for container in containers:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            yield "may gain privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield "keeps capabilities"
        if "runAsNonRoot" in own or "runAsUser" in own:
            yield "overrides the user of the pod"
    allowed = {"persistentVolumeClaim", "emptyDir", "configMap", "secret", "projected", "name"}
    for volume in pod.get("volumes", ()):
        if not set(volume) <= allowed:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    if pod.get("hostNetwork") or pod.get("hostPID") or pod.get("hostIPC"):
        yield "shares a namespace with the host"


def test_the_namespace_admits_every_pod(rendered: list[Manifest]) -> None:
    (namespace,) = (d for d in rendered if d["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in _pods(rendered):
        assert list(_admission_complaints(pod, pod["containers"])) == []
    for cluster in _clusters(rendered):
        if cluster.get("enableInTreeAutoscaling"):
            # The operator copies this into a container of the head.
            head = cluster["headGroupSpec"]["template"]["spec"]
            assert list(_admission_complaints(head, [cluster["autoscalerOptions"]])) == []


@pytest.mark.parametrize(
    "breakage",
    [
        {"securityContext": {}},
        {"hostNetwork": True},
        {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]},
        {"containers": [{"name": "a"}]},
    ],
)
def test_an_unsafe_pod_would_be_noticed(rendered: list[Manifest], breakage: Manifest) -> None:
    pod = {**copy.deepcopy(_pods(rendered)[0]), **breakage}
    assert list(_admission_complaints(pod, pod["containers"]))


def test_only_the_head_with_an_autoscaler_gets_an_api_token(rendered: list[Manifest]) -> None:
    for cluster in _clusters(rendered):
        head = cluster["headGroupSpec"]["template"]["spec"]
        autoscaling = cluster.get("enableInTreeAutoscaling", False)
        assert head["automountServiceAccountToken"] is autoscaling
        for group in cluster["workerGroupSpecs"]:
            assert group["template"]["spec"]["automountServiceAccountToken"] is False


def test_containers_get_what_they_ask_for(rendered: list[Manifest]) -> None:
    """Equal requests and limits: Ray sizes itself by the limit, the scheduler by the request."""
    for pod in _pods(rendered):
        for container in pod["containers"]:
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]
            assert {"cpu", "memory"} <= set(resources["limits"])


def test_the_head_takes_no_work_and_is_not_evicted(rendered: list[Manifest]) -> None:
    for cluster in _clusters(rendered):
        head = cluster["headGroupSpec"]
        assert head["rayStartParams"]["num-cpus"] == "0"
        annotations = head["template"]["metadata"]["annotations"]
        assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


PORTS_OF_RAY = {
    "gcs-server": 6379,
    "dashboard": 8265,
    "serve": 8000,
    "metrics": 8080,
    "as-metrics": 44217,
    "dash-metrics": 44227,
}


def test_ports_have_the_names_that_the_operator_looks_for(
    ray_job: Manifest, ray_service: Manifest
) -> None:
    def ports(cluster: Any) -> list[dict[str, int]]:
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        containers = [group["template"]["spec"]["containers"][0] for group in groups]
        return [{p["name"]: p["containerPort"] for p in c["ports"]} for c in containers]

    job_head, job_worker = ports(ray_job["spec"]["rayClusterSpec"])
    head, worker = ports(ray_service["spec"]["rayClusterConfig"])
    assert head == PORTS_OF_RAY
    assert job_head == {name: port for name, port in PORTS_OF_RAY.items() if name != "serve"}
    assert job_worker == {"metrics": 8080}
    assert worker == {"metrics": 8080, "serve": 8000}
    config = yaml.safe_load(ray_service["spec"]["serveConfigV2"])
    assert config["http_options"] == {"host": "0.0.0.0", "port": worker["serve"]}


def test_a_pod_is_given_the_time_that_its_shutdown_takes(rendered: list[Manifest]) -> None:
    ray_stop_s = 16  # the default of `ray stop --grace-period`
    for cluster in _clusters(rendered):
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            command = " ".join(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"])
            assert command.endswith("ray stop")
            sleep_s = int(command.split("sleep ")[1].split()[0]) if "sleep " in command else 0
            assert pod["terminationGracePeriodSeconds"] > sleep_s + ray_stop_s


def test_rays_folder_is_bounded_and_shared_with_the_autoscaler(rendered: list[Manifest]) -> None:
    """The operator gives the autoscaler the volume called ray-logs, whatever Ray itself mounts."""
    for cluster in _clusters(rendered):
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            mounts = {m["mountPath"]: m["name"] for m in pod["containers"][0]["volumeMounts"]}
            assert mounts["/tmp/ray"] == "ray-logs"
            (volume,) = (v for v in pod["volumes"] if v["name"] == "ray-logs")
            assert volume["emptyDir"]["sizeLimit"]


def test_ray_asks_for_a_token_even_from_an_operator_that_sets_none(
    rendered: list[Manifest],
) -> None:
    for cluster in _clusters(rendered):
        assert cluster["authOptions"] == {"mode": "token"}
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            env = {e["name"]: e["value"] for e in group["template"]["spec"]["containers"][0]["env"]}
            assert env["RAY_AUTH_MODE"] == "token"


def test_the_pod_in_the_guide_would_be_admitted(
    repository: Path, rendered: list[Manifest], violations: Callable[[Manifest], list[str]]
) -> None:
    guide = (repository / "docs" / "kubernetes.md").read_text()
    (pod,) = (
        yaml.safe_load(block) for block in re.findall(r"(?ms)^apiVersion: .*?(?=^EOF$)", guide)
    )
    assert violations(pod) == []
    assert list(_admission_complaints(pod["spec"], pod["spec"]["containers"])) == []
    assert set(_find(pod, "image")) == set(_find(rendered, "image"))
    assert set(_find(pod, "claimName")) == set(_find(rendered, "claimName"))
