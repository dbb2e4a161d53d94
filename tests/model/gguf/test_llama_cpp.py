"""llama.cpp computes what we compute, on files that we wrote, and cuts text as we say it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.model.gguf.llama_cpp import llama_cpp
from tests.model.gguf.models import SHAPES, fresh, greedy

from treespan.model.fim_format import FimFormat
from treespan.model.gguf.pre_tokenizers import PATTERNS, WHOLE_WORDS, described
from treespan.model.gguf.writer import write_gguf
from treespan.model.tokenizer import WORDS, Tokenizer, train

PROMPT = [3, 40, 111, 40, 217, 300, 301, 9, 55, 120, 40, 17]
TOKENS = 24


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_greedy_tokens(tmp_path: Path, tokenizer: Tokenizer, shape: str) -> None:
    checkpoint = fresh(tokenizer, **SHAPES[shape])
    write_gguf(checkpoint, tmp_path / "model.gguf", "f32")
    expected = greedy(checkpoint.model, PROMPT, TOKENS)
    assert len(set(expected)) > TOKENS / 2
    with llama_cpp(tmp_path / "model.gguf") as peer:
        assert peer.greedy(PROMPT, TOKENS) == expected


@pytest.mark.parametrize(
    ("dtype", "error"), [("f32", 1e-3), ("f16", 0.01), ("bf16", 0.1), ("q8_0", 0.1)]
)
def test_smaller_types_stay_close(
    tmp_path: Path, tokenizer: Tokenizer, dtype: Any, error: float
) -> None:
    checkpoint = fresh(tokenizer)
    write_gguf(checkpoint, tmp_path / "model.gguf", dtype)
    with llama_cpp(tmp_path / "model.gguf") as peer:
        token, score = peer.likeliest(PROMPT)
    with torch.no_grad():
        logits = checkpoint.model.project(checkpoint.model(torch.tensor([PROMPT])))[0, -1]
    assert score == pytest.approx(float(logits.log_softmax(-1)[token]), abs=error)


def real_code(root: Path) -> str:
    folders = ("model", "platform", "k8s", "docs")
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.*"))[:12]]
    texts = [path.read_text() for path in files if path.suffix in (".py", ".yaml", ".md")]
    odd = (
        "naïve = 'π ≈ 3.14 → 日本語'\r\n\tgetHTTPResponse2(x_1)\r\n\r\n  y\n"
        + " " * 9
        + "z1234567\n"
    )
    return "".join(texts) + odd


def with_pattern(name: str, code: str) -> Tokenizer:
    """A tokenizer of 700 ids that was trained with one of llama.cpp's sets of expressions."""
    names = FimFormat().special_tokens()
    plain = json.loads(train([code], vocab_size=700, special_tokens=names).serialized)
    model = plain["model"]
    if name in WHOLE_WORDS:
        model["ignore_merges"] = True
    return Tokenizer(json.dumps({**plain, "pre_tokenizer": described(name)}))


@pytest.mark.parametrize("name", PATTERNS)
def test_it_cuts_text_by_the_name(tmp_path: Path, root: Path, name: str) -> None:
    code = real_code(root)[-150_000:]
    tokenizer = with_pattern(name, code)
    assert write_gguf(fresh(tokenizer), tmp_path / "model.gguf", "f32") == 0
    with llama_cpp(tmp_path / "model.gguf") as peer:
        assert peer.encode(code) == tokenizer.encode(code)
        marks = peer.encode("<|fim_prefix|>a<|fim_suffix|>", special=True)
    prefix, suffix = tokenizer.id_of("<|fim_prefix|>"), tokenizer.id_of("<|fim_suffix|>")
    assert marks == [tokenizer.id_of("<s>"), prefix, *tokenizer.encode("a"), suffix]


def test_what_it_cuts_differently_is_told(tmp_path: Path, root: Path) -> None:
    code = real_code(root)
    ours = train([code], vocab_size=700, special_tokens=FimFormat().special_tokens(), pattern=WORDS)
    told = write_gguf(fresh(ours), tmp_path / "model.gguf", "f32")
    with llama_cpp(tmp_path / "model.gguf") as peer:
        theirs = peer.encode(code)
    assert ours.decode(theirs) == code
    expected = ends(ours, ours.encode(code))
    differing = 1 - len(expected & ends(ours, theirs)) / len(expected)
    assert 0 < told == pytest.approx(differing, abs=0.05)


def ends(tokenizer: Tokenizer, ids: list[int]) -> set[tuple[int, int]]:
    """Where each token begins and ends, in bytes."""
    sizes = tokenizer.token_bytes
    stops = sizes[ids].cumsum().tolist()
    return set(zip([0, *stops], stops, strict=False))
