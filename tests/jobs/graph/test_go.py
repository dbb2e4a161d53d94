"""Imports of Go."""

from __future__ import annotations

from typing import Any

import pytest

SERVER = {
    "main.go": """\
        package main

        import (
            "fmt"
            store "example.com/shop/internal/store"
            _ "example.com/shop/internal/drivers"
            . "example.com/shop/dsl"
            "github.com/other/thing"
        )

        func main() { fmt.Println(store.Open("x"), Describe(1)) }
        """,
    "internal/store/open.go": "package store\n\nfunc Open(p string) *DB { return nil }\n",
    "internal/store/db.go": "package store\n\ntype DB struct{}\n\nfunc (d *DB) Close() {}\n",
    "internal/store/open_test.go": "package store\n\nfunc Open2() {}\n",
    "internal/drivers/a.go": "package drivers\n\nfunc init() {}\n",
    "internal/drivers/b.go": "package drivers\n\nfunc register() {}\n",
    "dsl/dsl.go": "package dsl\n\nfunc Describe(n int) int { return n }\n",
}
MODULE = {"go.mod": "module example.com/shop\n\ngo 1.20\n"}


def test_a_package_means_its_files_that_define_what_is_used(resolve: Any) -> None:
    found = resolve({**SERVER, **MODULE})
    assert found.of("main.go") == {
        "example.com/shop/internal/store": {"internal/store/open.go": 1.0},
        # For its effects alone: all files share little.
        "example.com/shop/internal/drivers": {
            "internal/drivers/a.go": 0.25,
            "internal/drivers/b.go": 0.25,
        },
        "example.com/shop/dsl": {"dsl/dsl.go": 1.0},
    }
    assert found.graph.counts["Go"].imports == 5
    assert found.graph.counts["Go"].in_repository == 3


def test_without_go_mod_the_module_is_inferred(resolve: Any) -> None:
    assert resolve(SERVER).of("main.go") == resolve({**SERVER, **MODULE}).of("main.go")


def test_one_folder_alone_speaks_for_no_module(resolve: Any) -> None:
    found = resolve(
        {
            "main.go": 'package main\n\nimport "golang.org/x/net/context"\n',
            "context/context.go": "package context\n\nfunc New() {}\n",
        }
    )
    assert found.of("main.go") == {}
    assert found.unresolved == []


def test_several_modules_and_their_major_versions(resolve: Any) -> None:
    found = resolve(
        {
            "go.mod": "module go.acme.dev/top/v3\n",
            "api/go.mod": "module go.acme.dev/top/api/v3 // the API\n",
            "api/types/t.go": "package types\n\ntype Thing struct{}\n",
            "client/c.go": """\
                package client

                import (
                    "go.acme.dev/top/api/v3/types"
                    "go.acme.dev/top/v3/pkg/wait"
                    "go.acme.dev/top/v3/gone"
                )

                var T types.Thing
                var W = wait.New()
                """,
            "pkg/wait/wait.go": "package wait\n\nfunc New() int { return 1 }\n",
        }
    )
    assert found.of("client/c.go") == {
        "go.acme.dev/top/api/v3/types": {"api/types/t.go": 1.0},
        "go.acme.dev/top/v3/pkg/wait": {"pkg/wait/wait.go": 1.0},
    }
    assert found.unresolved == [("client/c.go", "go.acme.dev/top/v3/gone")]


def test_vendored_packages_are_found_before_the_world(resolve: Any) -> None:
    found = resolve(
        {
            "go.mod": "module example.com/tool\n",
            "main.go": 'package main\n\nimport "github.com/pkg/errors"\n\nvar E = errors.New("x")\n',
            "vendor/github.com/pkg/errors/errors.go": "package errors\n\nfunc New(s string) {}\n",
        }
    )
    assert found.of("main.go") == {
        "github.com/pkg/errors": {"vendor/github.com/pkg/errors/errors.go": 1.0}
    }


def test_an_external_test_imports_the_package_beside_it(resolve: Any) -> None:
    found = resolve(
        {
            "go.mod": "module github.com/acme/mux\n",
            "mux.go": "package mux\n\nfunc NewRouter() {}\n",
            "mux_test.go": """\
                package mux_test

                import "github.com/acme/mux"

                func f() { mux.NewRouter() }
                """,
        }
    )
    assert found.of("mux_test.go") == {"github.com/acme/mux": {"mux.go": 1.0}}


@pytest.mark.parametrize(
    "module", ["module ex.org/a", "module (\n\tex.org/a\n)", 'module "ex.org/a"']
)
def test_ways_to_name_a_module(resolve: Any, module: str) -> None:
    found = resolve(
        {
            "go.mod": f"{module}\ngo 1.2\n",
            "b/b.go": "package b\nfunc F() {}\n",
            "main.go": 'package main\nimport "ex.org/a/b"\nfunc main() { b.F() }\n',
        }
    )
    assert found.of("main.go") == {"ex.org/a/b": {"b/b.go": 1.0}}
