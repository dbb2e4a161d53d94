"""Reading back what this step published: every later step lays out sequences with it."""

from __future__ import annotations

from functools import lru_cache

from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.tokenizer import Tokenizer
from treespan.platform.config import build
from treespan.platform.steps import Output
from treespan.platform.store import Store


def load_renderer(tokenize: Output) -> FimRenderer:
    """The renderer that the tokenizer step published.

    One is kept per process: a worker packs several parts, and knows their words better each time.
    """
    return _load(tokenize.store.uri, f"{tokenize.folder}/tokenizer")


@lru_cache(maxsize=1)
def _load(store_uri: str, folder: str) -> FimRenderer:
    store = Store(store_uri)
    tokenizer = Tokenizer(store.read_bytes(f"{folder}/tokenizer.json").decode())
    values = store.read_json(f"{folder}/fim_format.json")
    return FimRenderer(build(FimFormat, values, where="fim_format.json"), tokenizer)
