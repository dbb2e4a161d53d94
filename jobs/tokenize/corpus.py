"""Texts for the tokenizer: a stream of the files that some documents list, by language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from treespan.platform.store import Store


@dataclass(frozen=True)
class Text:
    """A file's text."""

    language: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """The files of ``documents`` in ``files``: store paths of tables of the same partitions."""

    store: Store
    files: Sequence[str]
    documents: Sequence[str]

    def language_bytes(self) -> Counter[str]:
        """Bytes of text by language."""
        sizes: Counter[str] = Counter()
        for part, listed in self._parts():
            table = self.store.read_table(part, ["file_id", "language", "size"])
            for file_id, language, size in zip(*table.to_pydict().values(), strict=True):
                if file_id in listed:
                    sizes[language] += size
        return sizes

    def texts(self, chosen: Callable[[str, str], bool]) -> Iterator[Text]:
        """The texts of the files that ``chosen`` wants, asked by id and language.

        In the order of the tables, which depends on nothing but the corpus. Memory holds one batch
        of a table.
        """
        for part, listed in self._parts():
            with self.store.open_table(part, ["file_id", "language", "content"]) as reader:
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    languages, contents = batch["language"], batch["content"]
                    for row, file_id in enumerate(batch["file_id"].to_pylist()):
                        language = languages[row].as_py()
                        if file_id in listed and chosen(file_id, language):
                            yield Text(language, contents[row].as_py())

    def _parts(self) -> Iterator[tuple[str, set[str]]]:
        for part, documents in zip(self.files, self.documents, strict=True):
            column = self.store.read_table(documents, ["file_ids"])["file_ids"]
            yield part, {file_id for ids in column.to_pylist() for file_id in ids}


def language_shares(
    sizes: Mapping[str, int], sample_bytes: int, exponent: float
) -> dict[str, float]:
    """The share of each language's text that makes a sample of ``sample_bytes``.

    The sample's mix is that of ``sizes`` (bytes) to the power of ``exponent``; a language with too
    little text for that gives all of it, and the others take the rest.
    """
    weights = {language: size**exponent for language, size in sizes.items() if size}
    left, weight = min(sample_bytes, sum(sizes.values())), sum(weights.values())
    shares = {}
    # From the smallest on: then each may take of what is left, and none takes more than it has.
    for language in sorted(weights, key=lambda language: (sizes[language], language)):
        taken = min(float(sizes[language]), left * weights[language] / weight)
        shares[language] = taken / sizes[language]
        left -= taken
        weight -= weights[language]
    return shares
