"""A corpus of any size from real code: copies in which identifiers are renamed, no two files alike.

Plain copies would be taken out as duplicates before they cost anything. In copy k every third word
that is no keyword has a suffix of its own, so a file keeps its size, its lines and its syntax, but
shares few 5-grams of words with its variants.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.step import list_repositories
from treespan.platform.draws import hash64
from treespan.platform.language import detect_language, language_kind
from treespan.platform.store import Store

RENAMED = 3
"""One word in so many is renamed."""

LANGUAGE_SHARE = 0.5
"""Most that one language may have of the bytes of the base, so that the corpus is mixed."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
_COMMON_KEYWORDS = """
    abstract auto bool boolean break byte case catch char class concept const constexpr continue
    cdef cimport cpdef ctypedef decltype default define defined delete double elif else elseif end
    endforeach endfunction endif endmacro endwhile enum error exec explicit export extends extern
    false file final finally float foreach friend func function goto halt ifdef ifndef implements
    import include inline int8_t instanceof interface long macro message mutable namespace native
    noexcept null nullptr object operator option optional override package pragma private program
    protected public real register repeated require requires reserved return rpc self sequence
    service short signed sizeof static string struct subroutine super switch synchronized syntax
    template then this throw throws trait true type typedef typename undef union unsigned until
    uint8_t using virtual void volatile warning wchar_t while with yield
    """
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(_COMMON_KEYWORDS.split())


@dataclass(frozen=True)
class BaseFile:
    """A file of the base corpus."""

    repo: str
    path: str
    language: str
    licence: str
    text: str


def read_base(config: IngestConfig, max_bytes: int, store: Store) -> list[BaseFile]:
    """Programs from the sources of ``config``, at most ``max_bytes``, drawn by their names.

    Packages are fetched into ``store``, or found there.

    Only programming languages: text that curation drops at its first rule would flatter the rate.
    """
    found = []
    for repository in list_repositories(config, store):
        for row in read_repository(repository, config, []):
            language = detect_language(row["path"], row["content"].encode())
            if language_kind(language) == "programming":
                file = BaseFile(row["repo"], row["path"], language, row["licence"], row["content"])
                found.append(file)
    found.sort(key=lambda file: hash64("base", file.repo, file.path))
    chosen: list[BaseFile] = []
    of_language: Counter[str] = Counter()
    for file in found:
        size = len(file.text.encode())
        fits = of_language[file.language] + size <= LANGUAGE_SHARE * max_bytes
        if fits and of_language.total() + size <= max_bytes:
            of_language[file.language] += size
            chosen.append(file)
    return chosen


class Renaming(dict[str, str]):
    """Word to its name in copy ``copy``; copy 0 is the original."""

    def __init__(self, copy: int) -> None:
        super().__init__()
        self._copy = copy

    def __missing__(self, word: str) -> str:
        drawn = hash64("rename", self._copy, word) % RENAMED == 0 and word not in _KEYWORDS
        self[word] = f"{word}_v{self._copy}" if drawn and self._copy > 0 else word
        return self[word]

    def apply(self, text: str) -> str:
        """``text`` with its words renamed."""
        return _WORD.sub(lambda match: self[match.group()], text)


def write_copy(base: list[BaseFile], copy: int, folder: Path) -> int:
    """Write copy ``copy`` of ``base``, a subfolder per repository; returns its bytes."""
    renaming = Renaming(copy)
    licences: dict[str, Counter[str]] = {}
    total = 0
    for file in base:
        repo = f"{file.repo.replace('/', '_')}-v{copy}"
        licences.setdefault(repo, Counter())[file.licence] += 1
        target = folder / repo / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = renaming.apply(file.text).encode()
        target.write_bytes(data)
        total += len(data)
    for repo, counts in licences.items():
        licence, _ = counts.most_common(1)[0]
        if licence:
            (folder / repo / "LICENSE").write_text(f"SPDX-License-Identifier: {licence}\n")
    return total
