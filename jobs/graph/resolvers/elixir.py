"""Elixir: ``alias``, ``import``, ``use`` and ``require`` by the modules that files define."""

from __future__ import annotations

import re
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.reference import Reference, Sources

LANGUAGES = ("Elixir",)
_STATEMENT = re.compile(r"\w+[\s(]+([\w.]+)(?:\.?\{([^}]*)\})?", re.DOTALL)


class ElixirResolver:
    """Mentions of modules in Elixir files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._modules: dict[str, list[int]] = {}
        for index in sources.of(LANGUAGES):
            around: list[str] = []
            for definition in sources.facts[index].definitions:
                if definition.kind == "module":
                    # A module within another goes by both names; which one is around it is not
                    # told apart from those that merely stand before it.
                    for name in (definition.name, *(f"{o}.{definition.name}" for o in around)):
                        files = self._modules.setdefault(name, [])
                        if index not in files[-1:]:
                            files.append(index)
                    around.append(definition.name)

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            found = _STATEMENT.match(statement.text)
            if found is None:
                continue
            names = found[2].split(",") if found[2] else [""]
            for name in names:
                written = found[1].rstrip(".") + (f".{name.strip()}" if name.strip() else "")
                written = written.removeprefix("Elixir.")
                if not written[:1].isupper():
                    continue
                files = self._modules.get(written, [])
                above = written.rpartition(".")[0]
                known = bool(files) or above in self._modules
                yield Reference(written, known, self._sources.nearest(index, files))
