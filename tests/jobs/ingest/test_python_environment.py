import platform
from collections.abc import Callable
from importlib.metadata import Distribution, distribution
from typing import Any

import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.python_environment import licence_of
from treespan.jobs.ingest.step import fingerprint, list_repositories
from treespan.platform.errors import UserError


def source(**more: Any) -> dict[str, Any]:
    return {"kind": "python-environment", **more}


def config(**more: Any) -> IngestConfig:
    return IngestConfig.model_validate({"sources": [source(**more)]})


def test_real_distributions_are_listed_and_read(ingest: Callable[..., Any]) -> None:
    rows, _ = ingest(source(standard_library=False, include=["pydantic", "rich"]))
    found = {(row["repo"], row["commit"], row["licence"]) for row in rows}
    assert found == {
        ("pydantic", distribution("pydantic").version, "MIT"),
        ("rich", distribution("rich").version, "MIT"),
    }
    paths = {row["path"] for row in rows}
    assert "rich/console.py" in paths
    assert not any("__pycache__" in path or path.startswith("..") for path in paths)


def test_the_standard_library_is_one_repository() -> None:
    listed = list_repositories(config(include=[]))
    assert [(found.name, found.commit) for found in listed] == [
        ("cpython", platform.python_version())
    ]
    with listed[0].open() as snapshot:
        paths = {entry.path for entry in snapshot.entries}
    assert "json/decoder.py" in paths
    assert not any("site-packages" in path for path in paths)


def test_own_code_is_left_out_and_globs_choose() -> None:
    names = {found.name for found in list_repositories(config(exclude=["ray*"]))}
    assert "pydantic" in names
    assert not {"treespan", "ray"} & names
    assert fingerprint(config()) == fingerprint(config())
    with pytest.raises(UserError, match="no distribution matches"):
        list_repositories(config(standard_library=False, include=["no-such-thing"]))


class Fake(Distribution):
    def __init__(self, text: str) -> None:
        self._text = text

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("header", "expression"),
    [
        ("License-Expression: MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        (
            "License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License",
            "BSD-3-Clause",
        ),
        ("License: GPLv2", "GPL-2.0-only"),
        (
            (
                "Classifier: License :: OSI Approved\n"
                "Classifier: License :: OSI Approved :: MIT License"
            ),
            "MIT",
        ),
        (
            (
                "Classifier: License :: OSI Approved :: MIT License\n"
                "Classifier: License :: OSI Approved :: Apache Software License"
            ),
            "Apache-2.0 AND MIT",
        ),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License", ""),
        ("Summary: nothing said", ""),
    ],
)
def test_licence_from_metadata(header: str, expression: str) -> None:
    assert licence_of(Fake(f"Name: x\nVersion: 1\n{header}\n")) == expression
