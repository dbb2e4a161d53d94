"""Ray's own code reads the manifests: what its autoscaler, Serve and our command line make of them.

No cluster is started. The autoscaler's reader is private to Ray; the version that is pinned here
is the one that the manifests name.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import pytest
import ray
import yaml
from pydantic import BaseModel
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.serve.schema import DeploymentSchema, ServeDeploySchema

from treespan.platform.recipe import read_recipe

Manifest = dict[str, Any]
GIB = 2**30


def _node_types(document: Manifest, cluster: Any) -> dict[str, Any]:
    """The nodes that Ray's autoscaler believes it can have."""
    read = _derive_autoscaling_config_from_ray_cr(
        {"metadata": document["metadata"], "spec": cluster}
    )
    return dict(read["available_node_types"])


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _unknown_keys(value: Any, model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Keys that Ray would drop in silence: its models ignore what they do not know."""
    for key, inner in value.items():
        if key not in model.model_fields:
            yield f"{path}{key}"
            continue
        for inner_model in _models(model.model_fields[key].annotation):
            for entry in inner if isinstance(inner, list) else [inner]:
                if isinstance(entry, dict):
                    yield from _unknown_keys(entry, inner_model, f"{path}{key}.")


@pytest.fixture
def serve_config(ray_service: Manifest) -> Any:
    return yaml.safe_load(ray_service["spec"]["serveConfigV2"])


@pytest.fixture
def deployment(serve_config: Any) -> DeploymentSchema:
    (application,) = ServeDeploySchema.model_validate(serve_config).applications
    (deployment,) = application.deployments
    return deployment


def test_the_manifests_name_the_ray_that_is_installed(
    ray_job: Manifest, ray_service: Manifest
) -> None:
    assert ray_job["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__
    assert ray_service["spec"]["rayClusterConfig"]["rayVersion"] == ray.__version__


def test_the_autoscaler_sees_the_nodes_of_the_service(ray_service: Manifest) -> None:
    nodes = _node_types(ray_service, ray_service["spec"]["rayClusterConfig"])
    assert nodes["headgroup"]["resources"] == {"CPU": 0, "memory": 4 * GIB}
    assert nodes["cpu"]["resources"] == {"CPU": 2, "memory": 8 * GIB}
    assert (nodes["cpu"]["min_workers"], nodes["cpu"]["max_workers"]) == (2, 4)


def test_the_job_gets_a_gang_of_fixed_size(ray_job: Manifest) -> None:
    cluster = ray_job["spec"]["rayClusterSpec"]
    nodes = _node_types(ray_job, cluster)
    assert nodes["headgroup"]["resources"]["CPU"] == 0
    assert nodes["cpu"]["min_workers"] == nodes["cpu"]["max_workers"] > 0
    assert not cluster.get("enableInTreeAutoscaling")


def test_serve_accepts_its_configuration(serve_config: Any) -> None:
    config = ServeDeploySchema.model_validate(serve_config)
    assert list(_unknown_keys(serve_config, ServeDeploySchema)) == []
    (application,) = config.applications
    assert (application.name, application.route_prefix) == ("completion", "/")


def test_a_misspelt_key_of_serve_would_be_noticed(serve_config: Any) -> None:
    (deployment,) = serve_config["applications"][0]["deployments"]
    deployment["num_repliacs"] = 2
    deployment["autoscaling_config"]["max_replica"] = 4
    ServeDeploySchema.model_validate(serve_config)  # Ray itself says nothing
    assert sorted(_unknown_keys(serve_config, ServeDeploySchema)) == [
        "applications.deployments.autoscaling_config.max_replica",
        "applications.deployments.num_repliacs",
    ]


def test_the_pods_hold_all_replicas_and_no_pod_idles(
    ray_service: Manifest, serve_config: Any, deployment: DeploymentSchema
) -> None:
    nodes = _node_types(ray_service, ray_service["spec"]["rayClusterConfig"])["cpu"]
    scaling = serve_config["applications"][0]["deployments"][0]["autoscaling_config"]
    replica_cpus = deployment.ray_actor_options.num_cpus
    per_pod = min(nodes["resources"]["CPU"] // replica_cpus, deployment.max_replicas_per_node)
    assert scaling["max_replicas"] <= nodes["max_workers"] * per_pod
    # A worker pod without a replica has no proxy, so it would never become ready.
    assert nodes["min_workers"] <= scaling["min_replicas"]
    # One lost pod must leave a replica.
    assert scaling["min_replicas"] > per_pod


def test_a_replica_accepts_the_load_that_it_is_scaled_by(
    serve_config: Any, deployment: DeploymentSchema
) -> None:
    scaling = serve_config["applications"][0]["deployments"][0]["autoscaling_config"]
    assert deployment.max_ongoing_requests >= scaling["target_ongoing_requests"]


def test_the_import_path_names_a_builder_and_its_deployment(
    serve_config: Any, deployment: DeploymentSchema
) -> None:
    module, _, builder = serve_config["applications"][0]["import_path"].partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"no module {module}"
    assert spec.origin is not None
    source = Path(spec.origin)
    functions = {
        node.name
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert builder in functions
    classes = {
        node.name
        for path in source.parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    # Serve names a deployment after its class; for any other name it ignores these options.
    assert deployment.name in classes


def test_the_checkpoint_is_read_from_the_volume(ray_service: Manifest, serve_config: Any) -> None:
    checkpoint = serve_config["applications"][0]["args"]["checkpoint"]
    for group in _groups(ray_service["spec"]["rayClusterConfig"]):
        assert _mount_of(checkpoint, group) == "treespan"


def test_the_entrypoint_is_a_command_line_of_ours(ray_job: Manifest) -> None:
    words = shlex.split(ray_job["spec"]["entrypoint"])
    assert words[0] == "treespan"
    options = [word for word in words if word.startswith("--")]
    program = "from treespan.platform.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program, words[1], "--help"],
        check=False,  # the assertion below shows what it said
        capture_output=True,
        text=True,
        timeout=60,
        # Colour codes, which a CI service may ask for, would stand inside the options' names.
        env={**os.environ, "_TYPER_FORCE_DISABLE_TERMINAL": "1"},
    )
    assert shown.returncode == 0, shown.stderr
    assert all(option in shown.stdout for option in options)


def test_the_entrypoint_runs_a_recipe_into_the_volume(ray_job: Manifest, repository: Path) -> None:
    words = shlex.split(ray_job["spec"]["entrypoint"])
    assert read_recipe(repository / words[2])
    for group in _groups(ray_job["spec"]["rayClusterSpec"]):
        assert _mount_of(words[words.index("--store") + 1], group) == "treespan"


def _groups(cluster: Any) -> list[Any]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def _mount_of(path: str, group: Any) -> str | None:
    """The volume of the Ray container under which ``path`` lies."""
    for mount in group["template"]["spec"]["containers"][0]["volumeMounts"]:
        if PurePosixPath(path).is_relative_to(mount["mountPath"]):
            return str(mount["name"])
    return None
