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
    return _kept(str(tokenize.store.child(f"{tokenize.folder}/tokenizer")))


@lru_cache(maxsize=1)
def _kept(folder_uri: str) -> FimRenderer:
    return read_renderer(Store(folder_uri))


def read_renderer(folder: Store) -> FimRenderer:
    """The renderer of ``tokenizer.json`` and ``fim_format.json`` in ``folder``."""
    tokenizer = Tokenizer(folder.read_bytes("tokenizer.json").decode())
    values = folder.read_json("fim_format.json")
    return FimRenderer(build(FimFormat, values, where="fim_format.json"), tokenizer)
