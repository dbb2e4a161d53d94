"""Code and configuration that nobody would write: a file may lose its imports, the job goes on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.source_file import SourceFile

RUST = {"src/lib.rs": "mod a;\nuse crate::a::f;\n", "src/a.rs": "pub fn f() {}\n"}
PHP = {
    "a.php": "<?php\nrequire __DIR__ . '/b.php';\nuse B\\C;\n",
    "b.php": "<?php\nfunction b() {}\n",
    "src/C.php": "<?php\nnamespace B;\nclass C {}\n",
}


@pytest.mark.parametrize(
    "manifest",
    [
        *("package = 3", 'package = "a"', "package = []", 'lib = "x"', "[[lib]]", "not toml ["),
        "x = " + "[" * 5000,
    ],
)
def test_a_broken_cargo_manifest(resolve: Any, manifest: str) -> None:
    found = resolve({**RUST, "Cargo.toml": manifest})
    assert found.of("src/lib.rs")["crate::a::f"] == {"src/a.rs": 1.0}


@pytest.mark.parametrize(
    "manifest",
    [
        *("[]", "3", "{", "[" * 100_000, '{"autoload": 3}', '{"autoload": {"psr-4": []}}'),
        '{"autoload": {"psr-4": {"A\\\\": 3, "B\\\\": "src/"}}}',
    ],
)
def test_a_broken_composer_manifest(resolve: Any, manifest: str) -> None:
    found = resolve({**PHP, "composer.json": manifest})
    assert found.of("a.php")["B\\C"] == {"src/C.php": 1.0}


@pytest.mark.parametrize("levels", ["9999999999", "7" * 5000])
def test_a_folder_far_above_the_top(resolve: Any, levels: str) -> None:
    code = f"<?php\nrequire dirname(__DIR__, {levels}) . '/b.php';\nrequire './b.php';\n"
    assert resolve({**PHP, "a.php": code}).graph.paths


@pytest.mark.parametrize(
    "files",
    [
        {
            "a.php": "<?php\nconst A = " + "(" * 3000 + ";\nrequire A . 'b.php';\n",
            "b.php": "<?php\n",
        },
        {"src/lib.rs": "use a::" + "{b::" * 2000 + "c" + "}" * 2000 + ";\n", "src/a.rs": ""},
    ],
)
def test_deep_nesting_loses_the_imports_of_its_file_alone(files: dict[str, str]) -> None:
    languages = {"php": "PHP", "rs": "Rust"}
    sources = [
        SourceFile(path, languages[path.rpartition(".")[2]], text) for path, text in files.items()
    ]
    graph = build_graph(sources)
    assert len(graph.paths) == 2
    assert graph.unresolvable <= 1


def test_one_name_in_thousands_of_files() -> None:
    """A package that all files import, and a name that all define: no square of their number."""

    def seconds(count: int) -> float:
        text = "using N;\nnamespace N {{ class F{0} {{ void Run() {{ Go(); Other{0}(); }} }} }}\n"
        files = [SourceFile(f"f{i}/F{i}.cs", "C#", text.format(i)) for i in range(count)]
        started = time.process_time()
        build_graph(files)
        return time.process_time() - started

    seconds(50)
    assert seconds(1600) < 12 * max(0.1, seconds(400))
