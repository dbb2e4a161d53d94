"""Reading back what this step published: every later step lays out sequences with it."""

from __future__ import annotations

from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.tokenizer import Tokenizer
from treespan.platform.config import build
from treespan.platform.steps import Output


def load_renderer(tokenize: Output) -> FimRenderer:
    """The renderer that the tokenizer step published."""
    store, folder = tokenize.store, f"{tokenize.folder}/tokenizer"
    tokenizer = Tokenizer(store.read_bytes(f"{folder}/tokenizer.json").decode())
    values = store.read_json(f"{folder}/fim_format.json")
    return FimRenderer(build(FimFormat, values, where="fim_format.json"), tokenizer)
