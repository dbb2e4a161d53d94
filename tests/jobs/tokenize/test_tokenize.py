"""The tokenizer step: what it publishes and counts, trained and loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.tokenize.config import TokenizeConfig
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.jobs.tokenize.step import make_step
from treespan.model.checkpoint import Checkpoint
from treespan.model.gguf.writer import write_gguf
from treespan.model.tokenizer import Tokenizer
from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.schemas import DOCUMENTS, FILES, batches
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store

Tokenize = Callable[[TokenizeConfig], Output]


@pytest.fixture
def tokenize(ray_cluster: None, root: Path, tmp_path: Path) -> Tokenize:
    """Runs the step on modules of this project; every fifth is held out."""
    store = Store(str(tmp_path))
    rows = [
        {"file_id": path.name, "language": "Python", "content": text, "size": len(text.encode())}
        for path in sorted((root / "platform").glob("*.py"))
        if (text := path.read_text())
    ]
    rows[4]["content"] += "# e\u0301\n"
    ids = [row["file_id"] for row in rows]
    entries = [
        store.write_table("up/files/a.arrow", FILES, batches(FILES, rows)),
        *(
            store.write_table(f"up/{name}/a.arrow", DOCUMENTS, batches(DOCUMENTS, documents))
            for name, documents in (
                ("documents", [{"file_ids": [i for i in ids if i not in ids[4::5]]}]),
                ("heldout", [{"file_ids": ids[4::5]}]),
            )
        ),
    ]
    files = [{"path": entry.path.removeprefix("up/")} for entry in entries]
    up = Output(store, "up", {"files": files, "digest": "", "counts": {}})

    def run(config: TokenizeConfig) -> Output:
        return execute(make_step(config), store, {"curate": up, "sample": up}, Progress(quiet=True))

    return run


@pytest.mark.ray
def test_trained(tokenize: Tokenize) -> None:
    config = TokenizeConfig(vocab_size=600, sample_bytes=60_000)
    output = tokenize(config)
    counts: dict[str, Any] = dict(output.counts)
    assert counts["vocab_size"] == 600
    assert counts["special_tokens"]["<pad>"] == 0
    assert 30_000 < counts["sample_bytes"] < 90_000
    assert counts["sample_bytes_by_language"] == {"Python": counts["sample_bytes"]}
    assert counts["counted_on"] == "heldout"
    assert counts["counted_files"] > 4
    assert counts["bytes_per_token_by_language"] == {"Python": counts["bytes_per_token"]}
    assert 1.5 < counts["bytes_per_token"] < 4
    assert counts["is_exact"]
    renderer = load_renderer(output)
    assert renderer.format == config.fim_format
    text = "def f():\n    return 1\n"
    assert renderer.tokenizer.decode(renderer.tokenizer.encode(text)) == text


@pytest.mark.ray
def test_loaded(tokenize: Tokenize, tokenizer: Tokenizer, tmp_path: Path) -> None:
    normalising = tokenizer.serialized.replace('"normalizer":null', '"normalizer":{"type":"NFC"}')
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(normalising)
    config = TokenizeConfig.model_validate({"load": str(folder), "fim_format": "codellama"})
    counts = tokenize(config).counts
    assert counts["special_tokens"]["▁<EOT>"] >= 400
    assert counts["sample_files"] == 0
    assert (counts["is_exact"], counts["inexact_files"]) == (False, 1)


def test_a_gguf_is_loaded_like_the_tokenizer_in_it(
    checkpoint: Checkpoint, checkpoint_folder: Path, tmp_path: Path
) -> None:
    write_gguf(checkpoint, tmp_path / "model.gguf", "f32")
    prints = {
        make_step(TokenizeConfig(load=str(place))).fingerprint(Store(str(tmp_path)))
        for place in (tmp_path / "model.gguf", tmp_path, checkpoint_folder)
    }
    assert len(prints) == 1


def test_the_content_of_a_loaded_file_decides(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path, store = tmp_path / "mine.json", Store(str(tmp_path))
    step = make_step(TokenizeConfig(load=str(path)))
    with pytest.raises(UserError, match=r"no mine\.json in"):
        step.fingerprint(store)
    path.write_text(tokenizer.serialized)
    before = step.fingerprint(store)
    assert before == make_step(TokenizeConfig(load=path.as_uri())).fingerprint(store)
    path.write_text(tokenizer.serialized + "\n")
    assert step.fingerprint(store) != before
    assert make_step(TokenizeConfig()).fingerprint(store) is None
