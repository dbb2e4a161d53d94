"""The tokenizer step: one Ray task, since BPE training is one sequential loop over word counts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import ray

from treespan.jobs.tokenize.config import TokenizeConfig
from treespan.jobs.tokenize.corpus import Corpus, Text, language_shares
from treespan.model.foreign_tokenizer import adopt
from treespan.model.tokenizer import Tokenizer, train
from treespan.platform.draws import uniform
from treespan.platform.errors import UserError
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import FileEntry

_TEXTS_AT_ONCE = 256
"""Encoded together when tokens are counted: all at once would need many times their memory."""
_COUNTED_BYTES = 32_000_000
"""About how much text tokens are counted in (ours: some ten seconds)."""


def make_step(config: TokenizeConfig, files_from: str = "curate") -> Step:
    """``tokenizer/tokenizer.json`` and ``tokenizer/fim_format.json``, from files of ``files_from``."""
    return Step(
        name="tokenize",
        version=2,
        params=config.to_dict(),
        inputs=(files_from, "sample"),
        run=lambda context: _run(context, config, files_from),
        fingerprint=lambda _: None if config.load is None else _digest(config.load),
        check=lambda: None if config.load is None else _check(config.load),
    )


def _run(context: Context, config: TokenizeConfig, files_from: str) -> Result:
    sample = context.inputs["sample"]
    files = context.inputs[files_from].files("files")
    corpus = Corpus(context.store, files, sample.files("documents"))
    heldout = Corpus(context.store, files, sample.files("heldout"))
    loaded = None if config.load is None else _read(config.load)
    make = ray.remote(num_cpus=1)(_make)
    with context.progress.bar("tokenize", 1) as bar:
        published, counts = ray.get(
            make.remote(corpus, heldout, f"{context.folder}/tokenizer", config, loaded)
        )
        bar.advance()
    if counts["inexact_files"]:
        context.progress.say(
            f"The tokenizer changes texts: {counts['inexact_files']:,} of "
            f"{counts['counted_files']:,} files do not come back as they were."
        )
    return Result(published, counts)


def _make(
    corpus: Corpus, heldout: Corpus, folder: str, config: TokenizeConfig, loaded: bytes | None
) -> tuple[list[FileEntry], dict[str, Any]]:
    names = config.fim_format.special_tokens()
    sample = _Seen()
    if loaded is None:
        shares = language_shares(
            corpus.language_bytes(), config.sample_bytes, config.language_exponent
        )
        texts = corpus.texts(
            lambda file_id, language: (
                uniform(config.seed, "tokenizer", file_id) < shares.get(language, 0)
            )
        )
        trained = sample.watch(texts)
        tokenizer = train(trained, vocab_size=config.vocab_size, special_tokens=names)
    else:
        tokenizer = adopt(loaded.decode(), names, add_missing=config.add_missing)
    store = corpus.store
    files = [
        store.write_bytes(f"{folder}/tokenizer.json", tokenizer.serialized.encode()),
        store.write_json(f"{folder}/fim_format.json", config.fim_format.to_dict()),
    ]
    return files, {
        "vocab_size": tokenizer.vocab_size,
        "special_tokens": {name: tokenizer.id_of(name) for name in names},
        "sample_files": sample.files,
        "sample_bytes": sample.bytes.total(),
        "sample_bytes_by_language": dict(sorted(sample.bytes.items())),
        **_count_tokens(tokenizer, corpus, heldout, config.seed),
    }


@dataclass
class _Seen:
    """What has passed of a stream of texts."""

    files: int = 0
    bytes: Counter[str] = field(default_factory=Counter)  # by language

    def watch(self, texts: Iterable[Text]) -> Iterator[str]:
        for text in texts:
            self.files += 1
            self.bytes[text.language] += len(text.text.encode())
            yield text.text


def _count_tokens(
    tokenizer: Tokenizer, corpus: Corpus, heldout: Corpus, seed: int
) -> dict[str, Any]:
    """Bytes per token, in held-out files if there are any: text that was learnt from takes fewer."""
    counted_on, size = "heldout", heldout.language_bytes().total()
    if not size:
        heldout, counted_on, size = corpus, "documents", corpus.language_bytes().total()
    share = _COUNTED_BYTES / max(1, size)
    texts = heldout.texts(lambda file_id, _: uniform(seed, "count tokens", file_id) < share)
    seen, tokens, inexact = _Seen(), Counter[str](), 0
    while batch := list(islice(texts, _TEXTS_AT_ONCE)):
        plain = list(seen.watch(batch))
        for text, ids in zip(batch, tokenizer.encode_many(plain), strict=True):
            tokens[text.language] += len(ids)
            inexact += not tokenizer.is_exact and tokenizer.decode(ids) != text.text
    return {
        "counted_on": counted_on,
        "counted_files": seen.files,
        "counted_bytes": seen.bytes.total(),
        "bytes_per_token": _ratio(seen.bytes.total(), tokens.total()),
        "bytes_per_token_by_language": {
            language: _ratio(seen.bytes[language], tokens[language])
            for language in sorted(tokens)
            if tokens[language]
        },
        "is_exact": tokenizer.is_exact,
        "inexact_files": inexact,
    }


def _ratio(size: int, tokens: int) -> float:
    return round(size / max(1, tokens), 4)


def _read(path: str) -> bytes:
    """The tokenizer at a path or URI. Raises ``UserError`` if there is none."""
    from treespan.model.starting_weights import read_tokenizer_json  # with torch; rarely needed

    try:
        return read_tokenizer_json(path).encode()
    except UserError as error:
        raise UserError(f"tokenize.load: {error.problem}", error.fix) from None


def _check(path: str) -> None:
    _read(path)


def _digest(path: str) -> str:
    return hashlib.sha256(_read(path)).hexdigest()
