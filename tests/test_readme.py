"""The README keeps its word: its recipes load, its links lead somewhere, its commands exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from treespan.jobs.recipe import load_recipe


def blocks(root: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)


def test_the_recipe_loads(root: Path, tmp_path: Path) -> None:
    (text,) = blocks(root, "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("extends: recipes", f"extends: {root}/recipes"))
    recipe = load_recipe(path)
    assert [source.kind for source in recipe.ingest.sources] == ["directory", "git"]
    assert recipe.train.preset == "nano"


def test_commands_exist(root: Path) -> None:
    from treespan.platform.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    used = set(re.findall(r"^treespan (\w+)", "\n".join(blocks(root, "sh")), re.MULTILINE))
    assert used >= {"run", "show", "why", "complete", "serve", "doctor"}
    assert used <= known


def test_recipes_and_targets_of_make_exist(root: Path) -> None:
    said = "\n".join(blocks(root, "sh"))
    for path in set(re.findall(r"recipes/[\w-]+\.yaml", said)):
        load_recipe(root / path)
    listed = subprocess.check_output(["make", "--silent", "help"], cwd=root, text=True)
    targets = {line.split()[0] for line in listed.splitlines()}
    used = set(re.findall(r"\bmake ([\w./-]+)", said))
    assert used >= {"quickstart", "test", "models/smollm2-135m.gguf"}
    assert used <= targets


def test_a_model_that_is_there_is_not_fetched_again(root: Path, tmp_path: Path) -> None:
    made = ["pyproject.toml", "constraints.txt", ".venv/.installed", "models/smollm2-135m.gguf"]
    for at, name in enumerate(made):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (at, at))
    asked = ["make", "--question", "-f", str(root / "Makefile"), made[-1]]
    assert subprocess.call(asked, cwd=tmp_path) == 0
    os.utime(tmp_path / "constraints.txt", (99, 99))
    assert subprocess.call(asked, cwd=tmp_path) == 1


@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"docs/{p.name}" for p in Path(__file__).parent.parent.glob("docs/*.md"))],
)
def test_links_lead_somewhere(root: Path, page: str) -> None:
    path = root / page
    assert "@@" not in path.read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target
