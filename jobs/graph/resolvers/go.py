"""Go: a package is a folder, and its path is the module's path and the folder's.

Without go.mod the modules are inferred: an import path that ends with a folder of the repository
votes for what stands before that end, and a beginning with enough votes is a module.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from treespan.jobs.graph.resolvers.package_files import PackageFiles
from treespan.jobs.graph.resolvers.reference import Reference, Sources, distance

LANGUAGES = ("Go",)
_MIN_VOTES = 2
"""Different folders that must speak for a module (ours): one alone may be a common name."""

_MIN_SHARE = 0.5
"""Share of the imports below a module that must be folders (ours): of another project's, few are."""

_MODULE = re.compile(r"^module(?:[ \t]*\(\s*|[ \t]+)\"?([^\s\"()]+)", re.MULTILINE)


class GoResolver:
    """Imports of Go files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._by_folder: dict[str, list[int]] = {}
        for index in sources.of(LANGUAGES):
            self._by_folder.setdefault(posixpath.dirname(sources.files[index].path), []).append(
                index
            )
        self._by_last: dict[str, list[str]] = {}
        for folder in sorted(self._by_folder):
            if folder:
                self._by_last.setdefault(posixpath.basename(folder), []).append(folder)
        self._package_files = PackageFiles(sources, sources.of(LANGUAGES))
        self._modules = self._declared() or self._inferred()

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            written = statement.text[1:-1]
            roots = [
                (module, root)
                for module, root in self._modules
                if written == module or written.startswith(f"{module}/")
            ]
            if not roots:
                copied = self._copied(index, written)
                found = {} if copied is None else self._meant(index, copied)
                yield Reference(written, bool(found), found)
                continue
            targets: dict[int, float] = {}
            for module, root in roots:
                folder = posixpath.normpath(
                    posixpath.join(root, written[len(module) :].lstrip("/"))
                )
                targets = self._meant(index, "" if folder == "." else folder)
                if targets:
                    break
            yield Reference(written, True, targets)

    def _meant(self, origin: int, folder: str) -> dict[int, float]:
        """The files of the package in ``folder``; its tests are nobody's to import."""
        members = self._by_folder.get(folder, [])
        code = [i for i in members if not self._sources.files[i].path.endswith("_test.go")]
        return self._package_files.meant(origin, code or members)

    def _copied(self, origin: int, written: str) -> str | None:
        """The folder that has the whole import path as its end (``vendor/``, a GOPATH), the one
        that shares the most folders with the importing file."""
        if "." not in written.partition("/")[0]:
            return None
        path = self._sources.files[origin].path
        ending = [
            folder
            for folder in self._by_last.get(posixpath.basename(written), ())
            if f"/{folder}".endswith(f"/{written}")
        ]
        return min(ending, key=lambda folder: (distance(folder, path), folder), default=None)

    def _declared(self) -> list[tuple[str, str]]:
        found = []
        for index in self._sources.by_name.get("go.mod", ()):
            module = _MODULE.search(self._sources.files[index].text)
            if module:
                found.append((module[1], posixpath.dirname(self._sources.files[index].path)))
        return sorted(found, key=lambda item: (-len(item[0]), item))

    def _inferred(self) -> list[tuple[str, str]]:
        """Pairs of a module's path and its folder, the longest paths first."""
        votes: dict[tuple[str, str], set[str]] = {}
        for written in self._written:
            for folder in self._by_last.get(posixpath.basename(written), ()):
                module, root = written, folder
                ended: list[str] = []
                while module and root and posixpath.basename(module) == posixpath.basename(root):
                    ended.insert(0, posixpath.basename(root))
                    module, root = posixpath.dirname(module), posixpath.dirname(root)
                    if "." in module.partition("/")[0]:
                        votes.setdefault((module, root), set()).add("/".join(ended))
        below: Counter[str] = Counter()
        for written in self._written:
            while written := posixpath.dirname(written):
                below[written] += 1
        enough = {
            (module, root): rests
            for (module, root), rests in votes.items()
            if len(rests) >= max(_MIN_VOTES, _MIN_SHARE * below[module])
        }
        return sorted(
            (
                (module, root)
                for (module, root), rests in enough.items()
                # Above a module stand beginnings that all its imports share: no modules themselves.
                if not any(
                    other != (module, root)
                    and other[0].startswith(f"{module}/")
                    and len(enough[other]) >= len(rests)
                    for other in enough
                )
                and ("/" in module)
            ),
            key=lambda item: (-len(item[0]), -len(enough[item]), item),
        )

    @cached_property
    def _written(self) -> list[str]:
        found = {
            statement.text[1:-1]
            for indices in self._by_folder.values()
            for index in indices
            for statement in self._sources.facts[index].imports
        }
        return sorted(path for path in found if "." in path.partition("/")[0])
