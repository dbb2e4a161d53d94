"""The validator itself: it must find the errors it exists for, or its silence means nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Manifest = dict[str, Any]
Check = Callable[[Manifest], list[str]]
Plant = Callable[[Manifest], object]


def _cluster(job: Manifest) -> Any:
    return job["spec"]["rayClusterSpec"]


def _ports(job: Manifest) -> Any:
    return _cluster(job)["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]


def _deletion_rule(**condition: object) -> dict[str, object]:
    return {"deletionRules": [{"policy": "DeleteCluster", "condition": condition}]}


@pytest.mark.parametrize(
    ("plant", "complaint"),
    [
        pytest.param(
            lambda job: _cluster(job).update(enableInTreeAutoScaling=True),
            "enableInTreeAutoScaling",
            id="misspelt key",
        ),
        pytest.param(
            lambda job: _cluster(job).update(autoscalerOptions={"idleTimeoutSeconds": "60"}),
            "'60' is not of type 'integer'",
            id="number as a string",
        ),
        pytest.param(
            lambda job: _cluster(job)["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
            "0 is not of type 'string'",
            id="string as a number",
        ),
        pytest.param(
            lambda job: _cluster(job)["workerGroupSpecs"][0].pop("groupName"),
            "'groupName' is a required property",
            id="required key missing",
        ),
        pytest.param(
            lambda job: _cluster(job)["headGroupSpec"]["template"]["spec"].update(container=[]),
            "'container' was unexpected",
            id="misspelt key of the pod",
        ),
        pytest.param(
            lambda job: _cluster(job)["authOptions"].update(mode="tokens"),
            "'tokens' is not one of",
            id="unknown value of an enumeration",
        ),
        pytest.param(
            lambda job: job["spec"].update(
                deletionStrategy=_deletion_rule(jobStatus="FAILED", ttlSeconds=-1)
            ),
            "-1 is less than the minimum of 0",
            id="below the minimum",
        ),
        pytest.param(
            lambda job: job["spec"].update(
                deletionStrategy=_deletion_rule(jobStatus="FAILED", jobDeploymentStatus="Failed")
            ),
            "cannot be used together",
            id="CEL rule in a list",
        ),
        pytest.param(
            lambda job: _ports(job).append({"name": "again", "containerPort": 8265}),
            "two entries with {'containerPort': 8265, 'protocol': 'TCP'}",
            id="list entry twice, by a defaulted key",
        ),
        pytest.param(
            lambda job: job["spec"].update(managedBy="nobody"),
            "the managedBy field value must be either",
            id="CEL rule on a string",
        ),
    ],
)
def test_a_planted_error_in_a_custom_resource_is_found(
    ray_job: Manifest, violations: Check, plant: Plant, complaint: str
) -> None:
    assert violations(ray_job) == []
    plant(ray_job)
    assert any(complaint in found for found in violations(ray_job)), violations(ray_job)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"accessMode": ["ReadWriteMany"]}, "accessMode"),
        ({"accessModes": "ReadWriteMany"}, "is not of type 'array'"),
    ],
)
def test_a_planted_error_in_a_builtin_kind_is_found(
    violations: Check, spec: Manifest, complaint: str
) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"}}
    assert violations({**claim, "spec": {"accessModes": ["ReadWriteMany"]}}) == []
    assert any(complaint in found for found in violations({**claim, "spec": spec}))


def test_a_kind_without_a_schema_does_not_pass(violations: Check) -> None:
    assert violations({"apiVersion": "ray.io/v1", "kind": "RayJobs", "metadata": {"name": "a"}})


def test_an_open_part_of_a_schema_stays_open(ray_job: Manifest, violations: Check) -> None:
    labels = ray_job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    labels["any/name"] = "any-value"
    limits = ray_job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["resources"]["limits"]
    limits["memory"] = 1_000_000_000
    assert violations(ray_job) == []
