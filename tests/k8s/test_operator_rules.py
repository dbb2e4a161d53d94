"""What KubeRay 1.7 refuses although the schema allows it, read from its validation code.

Each rule lists its complaints about a RayJob or RayService. The rendered manifests must draw none,
and a planted offence must draw one: a rule that cannot fire proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Manifest = dict[str, Any]
Rule = Callable[[Manifest], Iterator[str]]

# Behind feature gates that are off in 1.7, or not for a cluster that a job or service owns.
UNAVAILABLE = ("networkPolicy", "tlsOptions", "historyServerOptions", "upgradeStrategy")


def cluster_of(document: Manifest) -> Any:
    spec = document["spec"]
    return spec["rayClusterSpec" if document["kind"] == "RayJob" else "rayClusterConfig"]


def groups_of(document: Manifest) -> list[Any]:
    cluster = cluster_of(document)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pod_of(group: Any) -> Any:
    return group["template"]["spec"]


def head_environment(document: Manifest) -> dict[str, str]:
    container = pod_of(groups_of(document)[0])["containers"][0]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def name(document: Manifest) -> Iterator[str]:
    """The operator appends to it, and what comes out must still be a label."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", document["metadata"]["name"]):
        yield "not a DNS-1035 label of at most 47 characters"


def ray_container_first(document: Manifest) -> Iterator[str]:
    for group in groups_of(document):
        containers = pod_of(group)["containers"]
        if not containers or not containers[0]["name"].startswith("ray-"):
            yield "the operator would take another container for Ray's"


def replicas(document: Manifest) -> Iterator[str]:
    for group in cluster_of(document)["workerGroupSpecs"]:
        if not {"replicas", "minReplicas", "maxReplicas"} <= set(group):
            yield "a bound is left to its default, which is two billion pods"
        elif not 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            yield "replicas are not between minReplicas and maxReplicas"


def autoscaler(document: Manifest) -> Iterator[str]:
    cluster = cluster_of(document)
    if not cluster.get("enableInTreeAutoscaling"):
        if head_environment(document).get("RAY_enable_autoscaler_v2") in ("1", "true"):
            yield "autoscaler v2 by environment, but autoscaling is off"
        if "autoscalerOptions" in cluster:
            yield "options for an autoscaler that is off"
        return
    if "RAY_enable_autoscaler_v2" in head_environment(document):
        yield "autoscaler version by environment and by option"
    for group in groups_of(document):
        if pod_of(group).get("restartPolicy", "Never") != "Never":
            yield "autoscaler v2 wants restartPolicy Never, or none"
        if group.get("suspend"):
            yield "a suspended group"


def resources_once(document: Manifest) -> Iterator[str]:
    for group in groups_of(document):
        parameters = group["rayStartParams"]
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & {
            *parameters
        }:
            yield "resources both beside and inside rayStartParams"
        if "labels" in parameters:
            yield "labels inside rayStartParams"


def authentication(document: Manifest) -> Iterator[str]:
    cluster = cluster_of(document)
    version = tuple(int(part) for part in cluster.get("rayVersion", "0").split("."))
    if cluster["authOptions"]["mode"] == "token" and version < (2, 52):
        yield "token authentication needs rayVersion 2.52 or later"
    if cluster["authOptions"].get("enableK8sTokenAuth"):
        yield "Kubernetes tokens are for RayCluster only"


def stable_features(document: Manifest) -> Iterator[str]:
    cluster = cluster_of(document)
    yield from (f"{key} is not available" for key in UNAVAILABLE if key in cluster)
    if "gcsFaultToleranceOptions" not in cluster and "RAY_REDIS_ADDRESS" in head_environment(
        document
    ):
        yield "a Redis address without gcsFaultToleranceOptions"


def job_lifetime(document: Manifest) -> Iterator[str]:
    if document["kind"] != "RayJob":
        return
    spec = document["spec"]
    shutdown = spec.get("shutdownAfterJobFinishes", False)
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not shutdown:
        yield "ttlSecondsAfterFinished without shutdownAfterJobFinishes"
    if spec.get("suspend") and not shutdown:
        yield "suspend without shutdownAfterJobFinishes"
    if spec.get("deletionStrategy", {}).get("deletionRules") and shutdown:
        yield "deletionRules and shutdownAfterJobFinishes"


def job_submission(document: Manifest) -> Iterator[str]:
    if document["kind"] != "RayJob":
        return
    spec = document["spec"]
    mode = spec.get("submissionMode", "K8sJobMode")
    if mode == "SidecarMode" and {"submitterPodTemplate", "submitterConfig"} & set(spec):
        yield "SidecarMode makes its own submitter"
    if mode == "InteractiveMode" and spec.get("backoffLimit", 0) > 0:
        yield "InteractiveMode has no retries"
    if spec.get("submitterPodTemplate", {}).get("spec", {}).get("restartPolicy") == "Always":
        yield "a submitter that never ends"


def service_of_head(document: Manifest) -> Iterator[str]:
    head_service = cluster_of(document)["headGroupSpec"].get("headService", {})
    if document["kind"] == "RayService" and head_service.get("metadata", {}).get("name"):
        yield "the head's service must not be named: two clusters share it during an upgrade"


# For each rule an offence, planted where the manifests carry the thing that it is about.
OFFENCES: list[tuple[Rule, str, Callable[[Manifest], object]]] = [
    (name, "RayJob", lambda d: d["metadata"].update(name="a" * 48)),
    (name, "RayService", lambda d: d["metadata"].update(name="1st")),
    (
        ray_container_first,
        "RayJob",
        lambda d: pod_of(groups_of(d)[1])["containers"].insert(0, {"name": "log-shipper"}),
    ),
    (replicas, "RayJob", lambda d: groups_of(d)[1].update(minReplicas=3)),
    (replicas, "RayService", lambda d: groups_of(d)[1].pop("maxReplicas")),
    (autoscaler, "RayService", lambda d: pod_of(groups_of(d)[1]).update(restartPolicy="Always")),
    (autoscaler, "RayService", lambda d: groups_of(d)[1].update(suspend=True)),
    (autoscaler, "RayService", lambda d: cluster_of(d).update(enableInTreeAutoscaling=False)),
    (resources_once, "RayJob", lambda d: groups_of(d)[0].update(resources={"CPU": "0"})),
    (resources_once, "RayJob", lambda d: groups_of(d)[1]["rayStartParams"].update(labels="a=b")),
    (authentication, "RayJob", lambda d: cluster_of(d).update(rayVersion="2.51.0")),
    (authentication, "RayService", lambda d: cluster_of(d).pop("rayVersion")),
    (stable_features, "RayService", lambda d: cluster_of(d).update(tlsOptions={"enabled": True})),
    (job_lifetime, "RayJob", lambda d: d["spec"].update(shutdownAfterJobFinishes=False)),
    (job_submission, "RayJob", lambda d: d["spec"].update(submissionMode="SidecarMode")),
    (
        service_of_head,
        "RayService",
        lambda d: groups_of(d)[0].update(headService={"metadata": {"name": "head"}}),
    ),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in OFFENCES))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_operator_accepts(rule: Rule, ray_job: Manifest, ray_service: Manifest) -> None:
    assert list(rule(ray_job)) == []
    assert list(rule(ray_service)) == []


@pytest.mark.parametrize(
    ("rule", "kind", "plant"), OFFENCES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_offence_is_found(
    rule: Rule,
    kind: str,
    plant: Callable[[Manifest], object],
    ray_job: Manifest,
    ray_service: Manifest,
) -> None:
    document = ray_job if kind == "RayJob" else ray_service
    plant(document)
    assert list(rule(document))
