"""Imports of Python, also beside Python's own finder."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.read import folder_files

APP = {
    "src/app/__init__.py": "from .models import Base\n",
    "src/app/models.py": "import os\nfrom . import fields\nfrom .core.base import Base\n",
    "src/app/fields.py": "from app.core import base as b\n",
    "src/app/core/__init__.py": "",
    "src/app/core/base.py": "from __future__ import annotations\nclass Base: ...\n",
    "src/app/views.py": """\
        import app.models, json
        from app.models import (
            A,  # a comment, with a comma
            B as C,
        )
        from app import *
        from app import \\
            fields
        def late():
            from ..nothing import x
        """,
    "tests/test_views.py": "from app import views\nimport helpers\n",
    "tests/helpers.py": "",
}


def test_a_package_hides_a_module_of_its_name(resolve: Any) -> None:
    found = resolve(
        {"pkg.py": "", "pkg/__init__.py": "y = 1\n", "pkg/x.py": "from . import y\n"},
    )
    assert found.of("pkg/x.py") == {".y": {"pkg/__init__.py": 1.0}}


def test_relative_and_absolute_imports(resolve: Any) -> None:
    found = resolve(APP)
    assert found.of("src/app/models.py") == {
        ".fields": {"src/app/fields.py": 1.0},
        ".core.base.Base": {"src/app/core/base.py": 1.0},
    }
    assert found.of("src/app/fields.py") == {"app.core.base": {"src/app/core/base.py": 1.0}}
    assert found.of("src/app/views.py") == {
        "app.models": {"src/app/models.py": 1.0},
        "app.models.A": {"src/app/models.py": 1.0},
        "app.models.B": {"src/app/models.py": 1.0},
        "app": {"src/app/__init__.py": 1.0},
        "app.fields": {"src/app/fields.py": 1.0},
    }
    assert found.of("tests/test_views.py") == {
        "app.views": {"src/app/views.py": 1.0},
        "helpers": {"tests/helpers.py": 1.0},
    }
    assert found.unresolved == [("src/app/views.py", "..nothing.x")]
    counts = found.graph.counts["Python"]
    # os and json are not the repository's, and __future__ is no import.
    assert (counts.imports, counts.in_repository, counts.resolved) == (14, 12, 11)


def test_a_module_of_a_package_hides_none_of_the_library(resolve: Any) -> None:
    found = resolve(
        {
            # No __init__: curation drops empty files. The relative import tells of the package.
            "app/types.py": "from .logging import log\n",
            "app/logging.py": "import types\n",
            "tools/types.py": "",
        }
    )
    assert found.of("app/logging.py") == {}
    assert found.graph.counts["Python"].in_repository == 1


def test_namespace_packages_and_stubs(resolve: Any) -> None:
    found = resolve(
        {
            "google/cloud/storage/__init__.py": "from google.cloud.storage import blob, fast\n",
            "google/cloud/storage/blob.py": "",
            "google/cloud/storage/blob.pyi": "",
            "google/cloud/storage/fast.pyx": "",
        }
    )
    assert found.of("google/cloud/storage/__init__.py") == {
        "google.cloud.storage.blob": {"google/cloud/storage/blob.py": 1.0},
        "google.cloud.storage.fast": {"google/cloud/storage/fast.pyx": 1.0},
    }


def test_the_nearest_of_several_is_likelier(resolve: Any) -> None:
    copies = {
        "one/pkg/__init__.py": "",
        "one/pkg/a.py": "",
        "one/main.py": "import pkg.a\n",
        "two/pkg/__init__.py": "",
        "two/pkg/a.py": "",
        "main.py": "import pkg.a\n",
    }
    found = resolve(copies)
    assert found.of("one/main.py") == {"pkg.a": {"one/pkg/a.py": 0.7}}
    assert found.of("main.py") == {"pkg.a": {"one/pkg/a.py": 0.25, "two/pkg/a.py": 0.25}}


@pytest.mark.parametrize("package", ["rich", "httpx"])
def test_beside_the_finder_of_python(package: str, tmp_path: Path) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    (tmp_path / package).mkdir()
    for path in root.rglob("*.py"):
        copy = tmp_path / package / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    graph = build_graph(folder_files(tmp_path))
    found = {(edge.source, edge.target) for edge in graph.edges if edge.kind == "import"}
    assert found == set(imports_by_finder(root, package))
    assert not graph.unresolved


def imports_by_finder(root: Path, package: str) -> list[tuple[str, str]]:
    """Pairs of files, by ``ast`` and ``importlib``."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root.parent)
        parts = list(relative.with_suffix("").parts)
        within = ".".join(parts[:-1])
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                module = importlib.util.resolve_name(module, within) if node.level else module
                names = [(module, alias.name) for alias in node.names]
            for module, name in names:
                if module.partition(".")[0] != package:
                    continue
                target = origin(f"{module}.{name}" if name else module) or origin(module)
                if target is not None and target != path:
                    found.append((relative.as_posix(), target.relative_to(root.parent).as_posix()))
    return found


def origin(module: str) -> Path | None:
    """The file of ``module``, or None if there is no such module."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None
