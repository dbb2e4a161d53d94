"""A table of real code with seeded clones, for measuring near deduplication.

The code is what the running interpreter has: its standard library and its installed packages,
which bring C++, JavaScript and more. Exact duplicates go first. Clones are edits of drawn files
(see ``edits``); the strength of each is searched for until the clone is as similar to its original
as a drawn target says: half of the targets lie around 0.85, half anywhere from 0.5 to 1. Equal
environments give equal tables.
"""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.dedup.edits import EDITS
from benchmarks.dedup.exact_pairs import jaccard, shingle_set, words_of_bytes

CLONES_PER_MEGABYTE = 2500 / 115
CLONE_SHARE = 0.2
"""About this share of the bytes are clones."""
SEARCH_STEPS = 7
WORD_PARTS = 4
"""Files of the table of words: tools that share work by the file get work for four."""

LANGUAGES = {
    ".py": "Python", ".pyi": "Python", ".pyx": "Cython", ".pxd": "Cython", ".c": "C", ".h": "C++",
    ".hpp": "C++", ".hh": "C++", ".cc": "C++", ".cpp": "C++", ".cu": "Cuda", ".cuh": "Cuda",
    ".js": "JavaScript", ".mjs": "JavaScript", ".jsx": "JavaScript", ".ts": "TypeScript",
    ".tsx": "TypeScript", ".css": "CSS", ".html": "HTML", ".go": "Go", ".rs": "Rust",
    ".java": "Java", ".sh": "Shell", ".cmake": "CMake", ".f": "Fortran", ".f90": "Fortran",
    ".proto": "Protocol Buffers", ".sql": "SQL", ".scm": "Scheme", ".r": "R", ".m": "Objective-C",
}  # fmt: skip

MIN_BYTES, MAX_BYTES = 200, 1_000_000
GENERATED = re.compile(r"@generated|do not edit|auto(matically)?[- ]?generated", re.IGNORECASE)
"""In the first 1,000 characters: left out, as curation does before it compares. PyTorch and
transformers have thousands of generated files, whole families of which lie just around the threshold
and would outnumber all other pairs; other tools fare worse with them than without."""
CLONED_BYTES = (1_500, 60_000)
"""Sizes of files that are cloned: large enough that an edit is a small part of them."""

FILES = pa.schema(
    [
        ("id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("content", pa.large_string()),
    ]
)


@dataclass(frozen=True)
class SourceFile:
    """A file of the table. ``id`` is the start of the hash of its content."""

    repo: str
    path: str
    language: str
    content: str

    @property
    def id(self) -> str:
        return content_id(self.content)


@dataclass(frozen=True)
class Clone:
    """A seeded clone: whose, by which edit, how strong, how similar, and what was aimed at."""

    id: str
    original: str
    edit: str
    strength: float
    similarity: float
    target: float


def content_id(content: str) -> str:
    """16 hexadecimal digits of the SHA-256 of the text."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def installed_paths() -> Iterator[tuple[Path, Path]]:
    """The code of the standard library and of the installed packages: (root, path below it)."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    for root in {stdlib, *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib"))}:
        for path in root.rglob("*"):
            inner = path.relative_to(root)
            if root == stdlib and "site-packages" in inner.parts:
                continue
            if path.suffix.lower() in LANGUAGES and path.is_file() and not path.is_symlink():
                yield root, inner


def read(root: Path, inner: Path) -> SourceFile | None:
    """One file; None if it is too short, too long, generated or no text."""
    path = root / inner
    if not MIN_BYTES <= path.stat().st_size <= MAX_BYTES:
        return None
    try:
        content = path.read_bytes().decode()
    except UnicodeDecodeError:
        return None
    if "\0" in content or GENERATED.search(content[:1000]):
        return None
    repo = "cpython" if root == Path(sysconfig.get_path("stdlib")) else inner.parts[0]
    return SourceFile(repo, str(inner), LANGUAGES[path.suffix.lower()], content)


def make_clones(
    originals: list[SourceFile], wanted: int, seed: int
) -> list[tuple[Clone, SourceFile]]:
    """``wanted`` clones of as many of ``originals``, or fewer if there are not enough."""
    low, high = CLONED_BYTES
    bases = [file for file in originals if low <= len(file.content) <= high]
    bases.sort(key=lambda file: hashlib.sha256(f"{seed}/clone/{file.id}".encode()).digest())
    taken = {file.id for file in originals}
    clones: list[tuple[Clone, SourceFile]] = []
    for base in bases:
        if len(clones) == wanted:
            break
        kind = list(EDITS)[len(clones) % len(EDITS)]
        clone, content = clone_of(base, kind, seed)
        if clone.id in taken:
            continue
        taken.add(clone.id)
        path = f"{kind}/{len(clones):04}/{Path(base.path).name}"
        clones.append((clone, SourceFile("clones", path, base.language, content)))
    return clones


def clone_of(base: SourceFile, kind: str, seed: int) -> tuple[Clone, str]:
    """The clone of ``base`` that came nearest to its drawn similarity, by bisection."""
    aim = Random(f"{seed}/target/{base.id}")
    target = min(0.99, aim.gauss(0.85, 0.05)) if aim.random() < 0.5 else aim.uniform(0.5, 1.0)
    shingles = shingle_set(base.content.encode())
    tried: list[tuple[float, float, float, str]] = []
    low, high = 0.0, 1.0
    for _ in range(SEARCH_STEPS):
        strength = (low + high) / 2
        content = EDITS[kind](base.content, strength, Random(f"{seed}/{kind}/{base.id}"))
        similarity = jaccard(shingles, shingle_set(content.encode()))
        tried.append((abs(similarity - target), strength, similarity, content))
        low, high = (strength, high) if similarity > target else (low, strength)
    _, strength, similarity, content = min(tried)
    return Clone(content_id(content), base.id, kind, strength, similarity, target), content


def make_corpus(megabytes: float, seed: int) -> tuple[list[SourceFile], list[Clone]]:
    """Some ``megabytes`` of files, clones among them, ordered by id; and the clones."""
    paths = sorted(
        installed_paths(),
        key=lambda path: hashlib.sha256(f"{seed}/file/{path[1]}".encode()).digest(),
    )
    originals: dict[str, SourceFile] = {}
    budget = megabytes * 1e6 * (1 - CLONE_SHARE)
    for root, inner in paths:
        file = read(root, inner)
        if file is not None and file.id not in originals:
            originals[file.id] = file
            budget -= len(file.content.encode())
        if budget <= 0:
            break
    files = list(originals.values())
    clones = make_clones(files, round(megabytes * CLONES_PER_MEGABYTE), seed)
    files += [file for _, file in clones]
    return sorted(files, key=lambda file: file.id), [clone for clone, _ in clones]


def write_corpus(folder: Path, megabytes: float, seed: int) -> None:
    """Write the tables of a corpus, the first ten files of it below ``few``, and its clones."""
    files, clones = make_corpus(megabytes, seed)
    rows = [{name: getattr(file, name) for name in FILES.names} for file in files]
    table = pa.Table.from_pylist(rows, schema=FILES)
    names = list(Clone.__dataclass_fields__)
    listed = pa.table({name: [getattr(clone, name) for clone in clones] for name in names})
    write_tables(folder / "few", table.slice(0, 10))
    write_tables(folder, table)
    pq.write_table(listed, folder / "clones.parquet")


def write_tables(folder: Path, table: pa.Table) -> None:
    """Write ``FILES`` as ``files.parquet`` and, words apart, as ``words/*.parquet``."""
    (folder / "words").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "files.parquet", compression="zstd", row_group_size=2000)
    texts = [b" ".join(words_of_bytes(text.as_py().encode())) for text in table["content"]]
    words = pa.table({"id": table["id"], "text": pa.array(texts).cast(pa.large_string())})
    rows = -(-len(words) // WORD_PARTS)
    for part in range(WORD_PARTS):
        path = folder / "words" / f"part-{part}.parquet"
        pq.write_table(words.slice(part * rows, rows), path, compression="zstd")
