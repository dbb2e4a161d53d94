"""The header of a file in a training sequence or prompt: its path and language, as comments.

The two sentences are the paper's, in the comment syntax of the file's own language. A language
whose comments we do not know gets no header, as in the paper's code.
"""

from __future__ import annotations

from collections.abc import Sequence

_LINE_COMMENT = {
    "//": (
        "C",
        "C#",
        "C++",
        "Cuda",
        "Dart",
        "Go",
        "Groovy",
        "Java",
        "JavaScript",
        "Kotlin",
        "Objective-C",
        "PHP",
        "Protocol Buffer",
        "Rust",
        "Scala",
        "Solidity",
        "Swift",
        "TSX",
        "TypeScript",
        "Verilog",
        "Zig",
    ),
    "#": (
        "CMake",
        "Cython",
        "Dockerfile",
        "Elixir",
        "GraphQL",
        "Julia",
        "Makefile",
        "Nix",
        "Perl",
        "PowerShell",
        "Python",
        "R",
        "Ruby",
        "Shell",
        "Starlark",
        "TOML",
        "Tcl",
        "YAML",
    ),
    "--": ("Ada", "Elm", "Haskell", "Lua", "SQL", "VHDL"),
    ";": ("Assembly", "Clojure", "Common Lisp", "Emacs Lisp", "Racket", "Scheme"),
    "%": ("Erlang", "MATLAB", "Prolog", "TeX"),
    "!": ("Fortran", "Fortran Free Form"),
}
_BLOCK_COMMENT = {
    ("/* ", " */"): ("CSS", "Less", "SCSS"),
    ("<!-- ", " -->"): ("HTML", "Markdown", "SVG", "Vue", "XML"),
    ("(* ", " *)"): ("OCaml", "Pascal", "Standard ML"),
}
_AROUND = {
    **{name: (f"{mark} ", "") for mark, names in _LINE_COMMENT.items() for name in names},
    **{name: marks for marks, names in _BLOCK_COMMENT.items() for name in names},
}


def comment_out(lines: Sequence[str], language: str) -> str:
    """Each of ``lines`` as a comment of ``language`` that ends in a newline.

    ``""`` for a language without known comments.
    """
    around = _AROUND.get(language)
    if around is None:
        return ""
    before, after = around
    return "".join(f"{before}{line}{after}\n" for line in lines)
