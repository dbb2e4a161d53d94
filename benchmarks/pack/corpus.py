"""The documents, tokenizer and row length of a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer as FastTokenizer

from treespan.jobs.pack.partition import read_documents
from treespan.jobs.pack.segments import FileText
from treespan.jobs.tokenize.renderer import read_renderer
from treespan.model.fim_format import FimRenderer
from treespan.platform.run_record import read_run
from treespan.platform.steps import Output
from treespan.platform.store import Store

Documents = Sequence[Sequence[FileText]]


@dataclass(frozen=True)
class PackedRun:
    """What a run hands to its packing step."""

    files: Output
    sample: Output
    tokenize: Output
    seq_len: int

    def documents(self) -> Iterator[list[FileText]]:
        """All documents, part by part."""
        parts = self.files.files("files"), self.sample.files("documents")
        for file_part, document_part in zip(*parts, strict=True):
            yield from read_documents(self.files.store, file_part, document_part)

    def renderer(self) -> FimRenderer:
        """The run's renderer, with a tokenizer that has seen nothing yet."""
        return read_renderer(Store(self.tokenize.store.child(f"{self.tokenize.folder}/tokenizer")))

    def fast_tokenizer(self) -> FastTokenizer:
        """The same tokenizer as ``tokenizers`` has it."""
        return FastTokenizer.from_str(self.renderer().tokenizer.serialized)


def read_run_parts(store: Store, name: str | None) -> PackedRun:
    """The named run, or the newest one that was packed."""
    steps = read_run(store, name, with_step="pack").steps
    files = steps.get("decontaminate") or steps["curate"]
    return PackedRun(files, steps["sample"], steps["tokenize"], steps["pack"].counts["seq_len"])


def take(documents: Iterable[Sequence[FileText]], megabytes: float) -> Documents:
    """Documents from the first on until they have ``megabytes`` of text."""
    taken: list[Sequence[FileText]] = []
    size = 0.0
    for files in documents:
        if size >= megabytes * 1e6:
            break
        taken.append(files)
        size += sum(len(file.text.encode()) for file in files)
    return taken


def megabytes_of(documents: Documents) -> float:
    """Megabytes of their text, in UTF-8."""
    return sum(len(file.text.encode()) for files in documents for file in files) / 1e6
