"""The tokenizer step: one Ray task, since BPE training is one sequential loop over word counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray

from treespan.jobs.tokenize.config import TokenizeConfig
from treespan.model import tokenizer
from treespan.platform.draws import uniform
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import FileEntry, Store

_TEXTS_AT_ONCE = 256
"""Encoded together when the sample is counted: all at once would need many times its memory."""


def make_step(config: TokenizeConfig, files_from: str = "curate") -> Step:
    """``tokenizer/tokenizer.json`` and ``tokenizer/fim_format.json``, from files of ``files_from``."""
    return Step(
        name="tokenize",
        version=1,
        params=config.to_dict(),
        inputs=(files_from, "sample"),
        run=lambda context: _run(context, config, files_from),
    )


def _run(context: Context, config: TokenizeConfig, files_from: str) -> Result:
    sample = context.inputs["sample"]
    share = min(1.0, config.sample_bytes / max(1, sample.counts["bytes"]))
    train = ray.remote(num_cpus=1)(_train)
    with context.progress.bar("tokenize", 1) as bar:
        files, counts = ray.get(
            train.remote(
                context.store,
                f"{context.folder}/tokenizer",
                context.inputs[files_from].files("files"),
                sample.files("documents"),
                config,
                share,
            )
        )
        bar.advance()
    return Result(files, counts)


def _train(
    store: Store,
    folder: str,
    file_parts: Sequence[str],
    document_parts: Sequence[str],
    config: TokenizeConfig,
    share: float,
) -> tuple[list[FileEntry], dict[str, Any]]:
    texts = list(_texts(store, file_parts, document_parts, config.seed, share))
    trained = tokenizer.train(
        texts,
        vocab_size=config.vocab_size,
        special_tokens=config.fim_format.special_tokens(),
    )
    files = [
        store.write_bytes(f"{folder}/tokenizer.json", trained.serialized.encode()),
        store.write_json(f"{folder}/fim_format.json", config.fim_format.to_dict()),
    ]
    sample_bytes = sum(len(text.encode()) for text in texts)
    tokens = sum(
        len(ids)
        for start in range(0, len(texts), _TEXTS_AT_ONCE)
        for ids in trained.encode_many(texts[start : start + _TEXTS_AT_ONCE])
    )
    return files, {
        "vocab_size": trained.vocab_size,
        "sample_files": len(texts),
        "sample_bytes": sample_bytes,
        "bytes_per_token": round(sample_bytes / max(1, tokens), 4),
    }


def _texts(
    store: Store,
    file_parts: Sequence[str],
    document_parts: Sequence[str],
    seed: int,
    share: float,
) -> Iterator[str]:
    """The texts of a share of the files that will be trained on, drawn by their ids."""
    for file_part, document_part in zip(file_parts, document_parts, strict=True):
        chosen = {
            file_id
            for file_ids in store.read_table(document_part, ["file_ids"])["file_ids"].to_pylist()
            for file_id in file_ids
            if uniform(seed, "tokenizer", file_id) < share
        }
        table = store.read_table(file_part, ["file_id", "content"])
        for index, file_id in enumerate(table["file_id"].to_pylist()):
            if file_id in chosen:
                yield table["content"][index].as_py()
