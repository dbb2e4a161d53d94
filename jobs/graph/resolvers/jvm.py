"""Java, Kotlin and Scala: a class by its declared package and name.

A wildcard means the files of the package that define a name which the importing file uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.named import NamedFiles
from treespan.jobs.graph.resolvers.reference import Reference, Sources

LANGUAGES = ("Java", "Kotlin", "Scala")
_WILDCARDS = ("*", "_")
_GIVEN = ("given",)


class JvmResolver:
    """Imports of files for the Java virtual machine."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._named = NamedFiles(sources, sources.of(LANGUAGES), ".")

    def references(self, index: int) -> Iterator[Reference]:
        facts = self._sources.facts[index]
        for statement in facts.imports:
            for written in _names(statement.text):
                yield self._resolved(index, written, facts.package)

    def _resolved(self, index: int, written: str, package: str) -> Reference:
        parts = written.split(".")
        wildcard = parts[-1] in _WILDCARDS
        if wildcard or parts[-1] in _GIVEN:
            parts = parts[:-1]
        name = ".".join(parts)
        inside = self._named.knows(name, whole=wildcard)
        if not inside and self._sources.files[index].language == "Scala":
            # A package sees what stands in those above it, so imports may leave these out.
            above = package.split(".")
            for depth in range(len(above), 0, -1):
                longer = ".".join([*above[:depth], *parts])
                if self._named.knows(longer, whole=wildcard):
                    name, inside = longer, True
                    break
        if not inside:
            return Reference(written, False)
        if wildcard and name in self._named.packages:
            return Reference(written, True, self._named.used_of_package(index, name))
        return Reference(written, True, self._named.longest(index, name))


def _names(text: str) -> Iterator[str]:
    """Dotted names of an import statement, with Scala's braces and lists taken apart."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL).strip().rstrip(";")
    text = re.sub(r"^import\s+(static\s+)?", "", text)
    if "{" in text:
        for prefix, inner in re.findall(r"([\w.`]+)\.\{([^}]*)\}", text):
            for item in inner.split(","):
                name = re.split(r"=>|\bas\b", item)[0].strip()
                if name:
                    yield f"{prefix}.{name}".replace("`", "")
        return
    for item in text.split(","):
        name = re.split(r"\s+as\s+|=>", item.strip())[0]
        if name:
            yield "".join(name.split()).replace("`", "")
