"""The Dockerfile, judged without building it: it finds its files and the manifests fit it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.specifiers import SpecifierSet

Manifest = dict[str, Any]
KNOWN = {"ARG", "CMD", "COPY", "ENV", "FROM", "RUN", "USER", "WORKDIR"}


class Instruction(NamedTuple):
    """One line of a Dockerfile, its continuations joined."""

    name: str
    rest: str
    stage: int
    """Which FROM it stands under, counted from 0; -1 before the first."""


@pytest.fixture(scope="module")
def instructions(repository: Path) -> list[Instruction]:
    text = (repository / "Dockerfile").read_text()
    without_comments = re.sub(r"(?m)^[ \t]*#.*\n", "", text)
    lines = re.sub(r"\\\n", " ", without_comments).splitlines()
    found: list[Instruction] = []
    stage = -1
    for line in filter(str.strip, lines):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(name, " ".join(rest.split()), stage))
    return found


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    with (repository / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def _copied(instructions: list[Instruction], stage: int | None = None) -> set[str]:
    """What COPY takes from the repository (in one stage, or in all)."""
    return {
        source.rstrip("/")
        for instruction in instructions
        if instruction.name == "COPY" and "--from=" not in instruction.rest
        if stage is None or instruction.stage == stage
        for source in shlex.split(instruction.rest)[:-1]
    }


def _last(instructions: list[Instruction], name: str) -> str:
    return [i.rest for i in instructions if i.name == name and i.stage == instructions[-1].stage][
        -1
    ]


def _heads(ray_job: Manifest, ray_service: Manifest) -> list[Any]:
    clusters = (ray_job["spec"]["rayClusterSpec"], ray_service["spec"]["rayClusterConfig"])
    return [cluster["headGroupSpec"]["template"]["spec"] for cluster in clusters]


def test_every_instruction_is_known(instructions: list[Instruction]) -> None:
    assert {instruction.name for instruction in instructions} <= KNOWN
    assert [i.name for i in instructions if i.stage == -1] == ["ARG"]
    stages = [i.rest.rpartition(" AS ")[2] for i in instructions if i.name == "FROM"]
    for instruction in instructions:
        if named := re.search(r"--from=(\S+)", instruction.rest):
            assert named[1] in stages[: instruction.stage]


def test_every_copied_file_exists_and_is_sent_to_the_build(
    instructions: list[Instruction], repository: Path
) -> None:
    lines = (repository / ".dockerignore").read_text().split("\n")
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "a list of what goes in"
    assert {p.removeprefix("!") for p in patterns if p.startswith("!")} == _copied(instructions)
    missing = {name for name in _copied(instructions) if not (repository / name).exists()}
    assert not missing


def test_the_links_of_the_package_lead_to_copied_folders(
    instructions: list[Instruction], repository: Path
) -> None:
    package = repository / "src" / "treespan"
    targets = {
        link.resolve().relative_to(repository.resolve()).parts[0]
        for link in package.iterdir()
        if link.is_symlink()
    }
    assert targets
    assert targets <= _copied(instructions, stage=0)


def test_the_wheel_is_built_with_the_files_that_its_metadata_names(
    instructions: list[Instruction], project: dict[str, Any]
) -> None:
    named = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert named <= _copied(instructions, stage=0)


def test_python_and_ray_are_the_ones_that_the_project_supports(
    instructions: list[Instruction], project: dict[str, Any], repository: Path, ray_job: Manifest
) -> None:
    python = instructions[0].rest.removeprefix("PYTHON_VERSION=")
    assert python in SpecifierSet(project["project"]["requires-python"])
    constraints = (repository / "constraints.txt").read_text()
    (pinned,) = re.findall(r"(?m)^ray(?:\[[^]]*\])?==(\S+)", constraints)
    assert ray_job["spec"]["rayClusterSpec"]["rayVersion"] == pinned


def test_a_relative_recipe_is_found_where_the_entrypoint_runs(
    instructions: list[Instruction], ray_job: Manifest, ray_service: Manifest
) -> None:
    recipe = Path(shlex.split(ray_job["spec"]["entrypoint"])[2])
    assert recipe.parts[0] in _copied(instructions, stage=1)
    for head in _heads(ray_job, ray_service):
        assert head["containers"][0]["workingDir"] == _last(instructions, "WORKDIR")


def test_the_entrypoint_is_installed_with_the_package(
    project: dict[str, Any], ray_job: Manifest
) -> None:
    assert shlex.split(ray_job["spec"]["entrypoint"])[0] in project["project"]["scripts"]


def test_the_user_is_the_one_that_the_pods_run_as(
    instructions: list[Instruction], ray_job: Manifest, ray_service: Manifest
) -> None:
    for head in _heads(ray_job, ray_service):
        security = head["securityContext"]
        user = f"{security['runAsUser']}:{security['runAsGroup']}"
        assert _last(instructions, "USER") == user


def test_the_readiness_probe_of_serving_workers_finds_wget(instructions: list[Instruction]) -> None:
    (installed,) = (i.rest for i in instructions if i.name == "RUN" and "apt-get install" in i.rest)
    assert "wget" in installed.split()
