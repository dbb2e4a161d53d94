"""Modules and imports of Rust."""

from __future__ import annotations

from typing import Any

CRATE = {
    "Cargo.toml": '[package]\nname = "fast-grep"\nedition = "2018"\n',
    "src/lib.rs": """\
        pub mod args;
        mod search;
        #[cfg(unix)]
        #[path = "sys/unix.rs"]
        #[allow(dead_code)]
        mod imp;
        pub use crate::search::Searcher;
        pub fn run() {}
        """,
    "src/args.rs": """\
        mod parse;
        use std::fmt;
        use crate::search::{self, matcher::{Matcher, Kind as K}, Searcher};
        use crate::imp::open;
        use self::parse::Parser;
        use super::run;
        pub struct Args;
        """,
    "src/args/parse.rs": "use super::Args;\nuse super::super::search::*;\npub struct Parser;\n",
    "src/search/mod.rs": "pub mod matcher;\npub struct Searcher;\n",
    "src/search/matcher.rs": "pub enum Kind { A }\npub struct Matcher;\n",
    "src/sys/unix.rs": "pub fn open() {}\n",
}


def test_mod_finds_files_folders_and_given_paths(resolve: Any) -> None:
    found = resolve(CRATE)
    library = found.of("src/lib.rs")
    assert library["mod args"] == {"src/args.rs": 1.0}
    assert library["mod search"] == {"src/search/mod.rs": 1.0}
    assert library["mod imp"] == {"src/sys/unix.rs": 1.0}
    assert found.of("src/args.rs")["mod parse"] == {"src/args/parse.rs": 1.0}
    assert found.unresolved == []


def test_use_goes_to_the_deepest_module(resolve: Any) -> None:
    found = resolve(CRATE)
    imports = found.of("src/args.rs")
    assert imports["crate::search"] == {"src/search/mod.rs": 1.0}
    assert imports["crate::search::matcher::Matcher"] == {"src/search/matcher.rs": 1.0}
    assert imports["crate::search::matcher::Kind"] == {"src/search/matcher.rs": 1.0}
    assert imports["crate::search::Searcher"] == {"src/search/mod.rs": 1.0}
    assert imports["crate::imp::open"] == {"src/sys/unix.rs": 1.0}
    assert imports["self::parse::Parser"] == {"src/args/parse.rs": 1.0}
    assert imports["super::run"] == {"src/lib.rs": 1.0}
    assert "std::fmt" not in imports
    below = found.of("src/args/parse.rs")
    assert below["super::Args"] == {"src/args.rs": 1.0}
    assert below["super::super::search"] == {"src/search/mod.rs": 1.0}


def test_inline_modules_are_no_imports_and_have_a_level_of_their_own(resolve: Any) -> None:
    found = resolve(
        {
            "src/lib.rs": "mod a;\npub struct Top;\n",
            "src/a.rs": """\
                pub struct A;
                pub mod inner { mod deep; pub fn f() {} }
                mod tests {
                    use super::*;
                    use super::super::Top;
                    fn t() { use crate::a::inner::f; }
                }
                """,
            "src/a/inner/deep.rs": "pub struct Deep;\n",
        }
    )
    assert found.of("src/a.rs") == {
        "mod deep": {"src/a/inner/deep.rs": 1.0},
        "super::super::Top": {"src/lib.rs": 1.0},
    }
    assert found.unresolved == []


def test_a_missing_module_is_unresolved(resolve: Any) -> None:
    found = resolve(
        {
            "src/lib.rs": "mod gone;\nmod a;\n",
            "src/a.rs": "use crate::lost::Thing;\nuse serde::Serialize;\n",
        }
    )
    assert found.unresolved == [("src/a.rs", "crate::lost::Thing"), ("src/lib.rs", "mod gone")]


def test_crates_of_a_workspace_by_manifest_or_folder(resolve: Any) -> None:
    found = resolve(
        {
            "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n',
            "crates/core/Cargo.toml": '[[bin]]\nname = "x"\n[package]\nname = "grep-core"\n',
            "crates/core/src/lib.rs": "pub mod sink;\npub struct Core;\n",
            "crates/core/src/sink.rs": "pub struct Sink;\n",
            "crates/my-tool/src/lib.rs": "pub fn tool() {}\n",
            "crates/app/src/main.rs": """\
                extern crate grep_core;
                use grep_core::sink::Sink;
                use my_tool::tool;
                use regex::Regex;
                """,
        }
    )
    assert found.of("crates/app/src/main.rs") == {
        "grep_core": {"crates/core/src/lib.rs": 1.0},
        "grep_core::sink::Sink": {"crates/core/src/sink.rs": 1.0},
        "my_tool::tool": {"crates/my-tool/src/lib.rs": 1.0},
    }
    assert found.graph.counts["Rust"].in_repository == 4


def test_tests_import_the_library_even_if_no_manifest_names_it(resolve: Any) -> None:
    found = resolve(
        {
            "src/lib.rs": "mod app;\npub use app::App;\n",
            "src/app.rs": "pub struct App;\n",
            "tests/common/mod.rs": "pub fn setup() {}\n",
            "tests/cli.rs": "mod common;\nuse clap::App;\nuse common::setup;\nuse serde::de;\n",
        }
    )
    assert found.of("src/lib.rs")["app::App"] == {"src/app.rs": 1.0}
    assert found.of("tests/cli.rs") == {
        "mod common": {"tests/common/mod.rs": 1.0},
        "clap::App": {"src/lib.rs": 1.0},
        "common::setup": {"tests/common/mod.rs": 1.0},
    }


def test_before_2018_paths_start_at_the_root(resolve: Any) -> None:
    files = {
        "src/main.rs": "mod output;\nmod fs;\nfn main() {}\n",
        "src/output.rs": "use fs::File;\npub struct Cell;\n",
        "src/fs.rs": "use output::Cell;\npub struct File;\n",
    }
    old = resolve({"Cargo.toml": '[package]\nname = "ls"\n', **files})
    new = resolve({"Cargo.toml": '[package]\nname = "ls"\nedition = "2021"\n', **files})
    assert old.of("src/output.rs") == {"fs::File": {"src/fs.rs": 1.0}}
    assert new.of("src/output.rs") == {}
    assert new.unresolved == []


def test_raw_names_comments_and_visibility(resolve: Any) -> None:
    found = resolve(
        {
            "src/lib.rs": "mod r#type;\nmod a;\n",
            "src/type.rs": "pub struct T;\n",
            "src/a.rs": """\
                pub(crate) use crate::r#type::{
                    T, // the { only } one
                };
                """,
        }
    )
    assert found.of("src/lib.rs")["mod type"] == {"src/type.rs": 1.0}
    assert found.of("src/a.rs") == {"crate::type::T": {"src/type.rs": 1.0}}
