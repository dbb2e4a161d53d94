"""Reading benchmarks: files of JSON lines to items, each a problem with the texts that give it away."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treespan.jobs.decontaminate.config import BenchmarkSource
from treespan.jobs.decontaminate.known_sets import KNOWN_SETS, FieldMap, Piece
from treespan.platform.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz")
WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
"""A word as ``treespan.jobs.curate.shingles`` sees it."""

_ID_FIELDS = ("task_id", "id", "name", "question_id")


@dataclass
class Item:
    """A problem of a benchmark. The texts are sets: records of one problem repeat them."""

    benchmark: str
    id: str
    problem: str
    """The id less the language: translations of a problem share it."""
    parts: set[bytes] = field(default_factory=set)
    wholes: set[bytes] = field(default_factory=set)

    @property
    def name(self) -> str:
        """As it stands in the ledger."""
        return f"{self.benchmark}/{self.id}"


@dataclass(frozen=True)
class BenchmarkFile:
    """A file of a benchmark and how it is read."""

    path: Path
    benchmark: str
    fields: FieldMap


def list_benchmarks(sources: Sequence[BenchmarkSource]) -> list[BenchmarkFile]:
    """The files of all sources. Raises ``UserError`` for what is not there or not known."""
    return [file for source in sources for file in _list(source)]


def fingerprint(sources: Sequence[BenchmarkSource]) -> list[list[str]]:
    """Benchmark, file name and content hash of every file."""
    return [
        [file.benchmark, file.path.name, hashlib.sha256(file.path.read_bytes()).hexdigest()]
        for file in list_benchmarks(sources)
    ]


def read_items(sources: Sequence[BenchmarkSource]) -> list[Item]:
    """All items, sorted by name. Raises ``UserError`` for a field that is not there."""
    items: dict[tuple[str, str], Item] = {}
    for file in list_benchmarks(sources):
        for number, record in _records(file.path):
            item_id, problem = _item_id(record, file.fields, number)
            key = (file.benchmark, item_id)
            item = items.setdefault(key, Item(file.benchmark, item_id, problem))
            where = f"{file.path}: line {number}"
            parts = [_text(record, part, file.fields.joiner, where) for part in file.fields.parts]
            item.parts.update(part for part in parts if part)
            whole = file.fields.whole
            item.wholes.add(_text(record, whole, file.fields.joiner, where) if whole else parts[0])
    if not any(item.parts for item in items.values()):
        raise UserError("the benchmarks hold no text.", "Name other fields, or leave them out.")
    return [items[key] for key in sorted(items)]


def _list(source: BenchmarkSource) -> Iterator[BenchmarkFile]:
    root = Path(source.path).expanduser()
    if root.is_file():
        paths = [root]
    elif root.is_dir():
        paths = sorted(path for path in root.rglob("*") if path.name.endswith(SUFFIXES))
    else:
        raise UserError(
            f"benchmark {source.path} does not exist.", "Correct decontaminate.benchmarks."
        )
    if not paths:
        raise UserError(
            f"benchmark folder {source.path} holds no .jsonl or .jsonl.gz file.",
            "Give the folder or file that holds the records.",
        )
    for path in paths:
        yield _file(path, source)


def _file(path: Path, source: BenchmarkSource) -> BenchmarkFile:
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    if source.fields is not None:
        parts = tuple((Piece(name),) for name in source.fields)
        whole = tuple(Piece(name) for name in source.fields)
        fields = FieldMap(parts=parts, whole=whole, joiner="\n")
        return BenchmarkFile(path, source.name or stem, fields)
    place = f"{path.absolute().parent.name}/{path.name}"
    for known in KNOWN_SETS:
        if known.matches(place):
            return BenchmarkFile(path, source.name or known.name, known.fields)
    names = ", ".join(sorted(known.name for known in KNOWN_SETS))
    raise UserError(
        f"{path} is no known benchmark by its name, and no fields are given.",
        f"List the fields whose text counts under 'fields:'. Known: {names}.",
    )


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with path.open("rb") as raw:
            lines = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise ValueError("not a mapping")
                    yield number, record
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: no JSON record after line {number} can be read ({error}).",
            "Give a file with one JSON object a line.",
        ) from None


def _item_id(record: Mapping[str, Any], fields: FieldMap, number: int) -> tuple[str, str]:
    """The item's id, and that of its problem."""
    names = fields.ids or tuple(name for name in _ID_FIELDS if name in record)[:1]
    problem = ":".join(filter(None, (_as_id(_value(record, name)) for name in names)))
    found = re.search(fields.id_pattern, problem)
    if fields.id_pattern and found:
        problem = found[0]
    problem = problem or f"line-{number}"
    language = _as_id(_value(record, fields.language)) if fields.language else ""
    return (f"{language}/{problem}" if language else problem), problem


def _as_id(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _value(record: Mapping[str, Any], name: str) -> Any:
    value: Any = record
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(record: Mapping[str, Any], pieces: Sequence[Piece], joiner: str, where: str) -> bytes:
    return joiner.encode().join(_piece(record, piece, where) for piece in pieces)


def _piece(record: Mapping[str, Any], piece: Piece, where: str) -> bytes:
    value: Any = record
    for key in piece.field.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise _no_field(record, piece.field, where)
        value = value[key]
    if isinstance(value, list):
        value = "\n".join(str(entry) for entry in value)
    if value is not None and not isinstance(value, str):
        raise UserError(
            f"{where}: field {piece.field!r} is no text ({type(value).__name__}).",
            "Name fields that hold text or lists of texts.",
        )
    return _cut((value or "").encode(errors="surrogatepass"), piece.words)


def _cut(text: bytes, words: int) -> bytes:
    if words == 0:
        return text
    spans = [found.span() for found in WORD.finditer(text)]
    if len(spans) <= abs(words):
        return text
    return text[spans[words][0] :] if words < 0 else text[: spans[words][0]]


def _no_field(record: Mapping[str, Any], name: str, where: str) -> UserError:
    there = [
        *record,
        *(f"{k}.{inner}" for k, v in record.items() if isinstance(v, Mapping) for inner in v),
    ]
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(there)}."
    return UserError(f"{where}: there is no field {name!r}.", hint)
