"""Grammars: the one place that knows which tree-sitter grammar parses which language.

Languages go by linguist's names (``C++``, ``Emacs Lisp``), grammars by those of
``tree-sitter-language-pack``. A grammar is compiled code that may hang or crash on hostile text:
parse what you do not trust in a process that can be killed.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

from tree_sitter import Language, Parser

GRAMMARS = {
    "1C Enterprise": "bsl",
    "ActionScript": "actionscript",
    "Ada": "ada",
    "Agda": "agda",
    "Apex": "apex",
    "Astro": "astro",
    "BibTeX": "bibtex",
    "Bicep": "bicep",
    "BitBake": "bitbake",
    "C": "c",
    "C#": "csharp",
    "C++": "cpp",
    "CMake": "cmake",
    "CSS": "css",
    "Cairo": "cairo",
    "Cap'n Proto": "capnp",
    "Clarity": "clarity",
    "Clojure": "clojure",
    "Common Lisp": "commonlisp",
    "Cuda": "cuda",
    "D": "d",
    "Dart": "dart",
    "Dockerfile": "dockerfile",
    "Elixir": "elixir",
    "Elm": "elm",
    "Emacs Lisp": "elisp",
    "Erlang": "erlang",
    "F#": "fsharp",
    "FIRRTL": "firrtl",
    "Fennel": "fennel",
    "Fortran": "fortran",
    "Fortran Free Form": "fortran",
    "GDScript": "gdscript",
    "GLSL": "glsl",
    "GN": "gn",
    "Gleam": "gleam",
    "Go": "go",
    "GraphQL": "graphql",
    "Groovy": "groovy",
    "HCL": "hcl",
    "HLSL": "hlsl",
    "HTML": "html",
    "Hack": "hack",
    "Hare": "hare",
    "Haskell": "haskell",
    "Haxe": "haxe",
    "INI": "ini",
    "JSON": "json",
    "Janet": "janet",
    "Java": "java",
    "JavaScript": "javascript",
    "Jsonnet": "jsonnet",
    "Julia": "julia",
    "KDL": "kdl",
    "Kotlin": "kotlin",
    "LLVM": "llvm",
    "Linker Script": "linkerscript",
    "Lua": "lua",
    "Luau": "luau",
    "MATLAB": "matlab",
    "Makefile": "make",
    "Markdown": "markdown",
    "Mermaid": "mermaid",
    "Meson": "meson",
    "Nim": "nim",
    "Ninja": "ninja",
    "Nix": "nix",
    "OCaml": "ocaml",
    "Objective-C": "objc",
    "Odin": "odin",
    "Open Policy Agent": "rego",
    "Org": "org",
    "PHP": "php",
    "Pascal": "pascal",
    "Perl": "perl",
    "Pony": "pony",
    "PowerShell": "powershell",
    "Prisma": "prisma",
    "Protocol Buffer": "proto",
    "Puppet": "puppet",
    "PureScript": "purescript",
    "Python": "python",
    "QML": "qmljs",
    "R": "r",
    "Racket": "racket",
    "Ruby": "ruby",
    "Rust": "rust",
    "SCSS": "scss",
    "SPARQL": "sparql",
    "SQL": "sql",
    "Scala": "scala",
    "Scheme": "scheme",
    "Shell": "bash",
    "Smali": "smali",
    "Smithy": "smithy",
    "Solidity": "solidity",
    "Squirrel": "squirrel",
    "Starlark": "starlark",
    "Svelte": "svelte",
    "Swift": "swift",
    "SystemVerilog": "verilog",
    "TOML": "toml",
    "TSX": "tsx",
    "Tcl": "tcl",
    "TeX": "latex",
    "Thrift": "thrift",
    "Twig": "twig",
    "TypeScript": "typescript",
    "Typst": "typst",
    "V": "v",
    "VHDL": "vhdl",
    "Verilog": "verilog",
    "Vim Script": "vim",
    "Vue": "vue",
    "WGSL": "wgsl",
    "WebAssembly": "wat",
    "XML": "xml",
    "YAML": "yaml",
    "Zig": "zig",
    "fish": "fish",
    "reStructuredText": "rst",
}
"""Linguist language -> grammar of tree-sitter-language-pack 0.13. Left out on purpose: COBOL, whose
grammar never returns on some inputs, and Assembly, whose grammar knows one dialect of many."""


def has_grammar(language: str) -> bool:
    """Whether ``language`` (linguist's name) can be parsed here."""
    return language in GRAMMARS and _is_bundled(GRAMMARS[language])


def load_language(language: str) -> Language:
    """The grammar of ``language``. ``KeyError`` if there is none."""
    return load_named_grammar(GRAMMARS[language])


def load_parser(language: str) -> Parser:
    """A new parser of ``language``; parsers are cheap and not shared between threads."""
    return Parser(load_language(language))


@cache
def load_named_grammar(grammar: str) -> Language:
    """A grammar by tree-sitter-language-pack's own name. ``LookupError`` if it has none."""
    # Imported here: it costs a tenth of a second that users of `has_grammar` need not pay.
    from tree_sitter_language_pack import get_language

    name: Any = grammar  # typed there as a literal of all names
    return get_language(name)


@cache
def _is_bundled(grammar: str) -> bool:
    separate = {"csharp": "tree_sitter_c_sharp", "yaml": "tree_sitter_yaml"}
    module = separate.get(grammar, f"tree_sitter_language_pack.bindings.{grammar}")
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
