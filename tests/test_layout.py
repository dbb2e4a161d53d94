"""Guards of the house: links, import names, direction of imports, shipped files."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = ("platform", "jobs", "model", "serve")
ALLOWED = {
    "platform": {"platform"},
    "model": {"model", "platform"},
    "jobs": {"jobs", "model", "platform"},
    "serve": {"serve", "model", "platform"},
}


def imported_layers(source: str) -> set[str]:
    """The layers of treespan that a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "treespan" and len(parts) > 1 and parts[1] in LAYERS:
                found.add(parts[1])
    return found


def test_imported_layers_sees_every_form() -> None:
    source = "import treespan.jobs.x\ndef f():\n    from treespan import serve\n"
    assert imported_layers(source) == {"jobs", "serve"}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(root: Path, layer: str) -> None:
    wrong = {
        str(path.relative_to(root)): sorted(imported_layers(path.read_text()) - ALLOWED[layer])
        for path in (root / layer).rglob("*.py")
        if imported_layers(path.read_text()) - ALLOWED[layer]
    }
    assert not wrong


def test_model_and_light_platform_never_import_ray(root: Path) -> None:
    for path in (root / "model").rglob("*.py"):
        assert "import ray" not in path.read_text(), path
    light = "import sys, treespan.platform.cli; print('ray' in sys.modules, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_stdlib_platform_stays_importable_from_the_root(root: Path) -> None:
    assert not (root / "platform" / "__init__.py").exists()
    code = "import platform; assert platform.system(); import treespan.platform.config"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_package_folder_holds_only_the_links(root: Path) -> None:
    package = root / "src" / "treespan"
    found = {entry.name for entry in package.iterdir()} - {"__pycache__"}
    assert found == {"__init__.py", "py.typed", *LAYERS}
    for layer in LAYERS:
        assert os.readlink(package / layer) == f"../../{layer}"


def test_code_folders_are_never_imported_by_their_bare_names(root: Path) -> None:
    bare = {"jobs", "model", "serve"}
    for layer in (*LAYERS, "tests"):
        for path in (root / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    assert not {a.name.split(".")[0] for a in node.names} & bare, path
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    assert (node.module or "").split(".")[0] not in bare, path


def test_every_shipped_recipe_loads(root: Path) -> None:
    from treespan.jobs.recipe import load_recipe

    recipes = sorted((root / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        assert load_recipe(path).name == path.stem
