"""From what an import says to the files that it means: one module per family of languages."""

from __future__ import annotations

from treespan.jobs.graph.resolvers import c_family, dotnet, ecmascript, elixir, go, jvm, php, python
from treespan.jobs.graph.resolvers import rust as rust_family
from treespan.jobs.graph.resolvers.by_require import LuaResolver, RubyResolver
from treespan.jobs.graph.resolvers.reference import Reference, Resolver, Sources

FAMILIES: dict[tuple[str, ...], type[Resolver]] = {
    python.LANGUAGES: python.PythonResolver,
    jvm.LANGUAGES: jvm.JvmResolver,
    ecmascript.LANGUAGES: ecmascript.EcmascriptResolver,
    c_family.LANGUAGES: c_family.CResolver,
    go.LANGUAGES: go.GoResolver,
    rust_family.LANGUAGES: rust_family.RustResolver,
    dotnet.LANGUAGES: dotnet.DotnetResolver,
    php.LANGUAGES: php.PhpResolver,
    ("Ruby",): RubyResolver,
    ("Lua",): LuaResolver,
    elixir.LANGUAGES: elixir.ElixirResolver,
}
"""Languages whose files import each other -> what resolves their imports."""

__all__ = ["FAMILIES", "Reference", "Resolver", "Sources"]
