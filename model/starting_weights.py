"""Weights to go on from: a checkpoint of ours, a folder of Hugging Face, or a GGUF.

A place is a path or a URI. It is a file if its name ends in ``.gguf`` or ``.json``, or else a
folder, and what that holds decides how it is read. What is remote is copied to a temporary folder,
which lasts as long as the object that reads it.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from treespan.model.added_rows import with_added_rows
from treespan.model.checkpoint import (
    ABOUT,
    CONFIG,
    FIM_FORMAT,
    TOKENIZER,
    check_checkpoint,
    check_shapes,
    read_json,
)
from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat, format_of_tokens
from treespan.model.hugging_face.config_json import from_json
from treespan.model.hugging_face.weight_files import WeightFiles
from treespan.model.tokenizer import Tokenizer
from treespan.platform.config import build
from treespan.platform.errors import UserError
from treespan.platform.store import Store

_FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_END_BYTES = 1 << 20
_ROWS = 64
"""An embedding grows to a multiple of it (ours: the tile of matrix units, as all our sizes)."""
_FIX_TOKENIZER = (
    "Save it with transformers, which writes one: AutoTokenizer.from_pretrained(A)"
    ".save_pretrained(B)."
)


@dataclass(frozen=True)
class StartingWeights:
    """An opened model; its tensors stay in their files until they are asked for."""

    config: ModelConfig
    """Its shape. The vocabulary is that of its embedding, which may have spare rows."""
    tokenizer_json: str
    """Its tokenizer, as it came."""
    fim_format: FimFormat | None
    """How it was trained to fill in, where that is written down or plain from its tokens."""
    read: Callable[[], Iterator[tuple[str, Tensor]]]
    """What ``tensors`` calls."""

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names of ``Transformer`` and values as stored, one by one; a tied head is left out.

        Raises ``UserError`` for a damaged file, or values that are no plain floats.
        """
        yield from self.read()  # and so holds this object, and with it the files


def read_starting_weights(path: str) -> StartingWeights:
    """The model at ``path``. Raises ``UserError`` if it is missing, damaged or not implemented."""
    with ExitStack() as files:
        local = files.enter_context(_local(path, _files_of_a_model))
        try:
            weights = _read_gguf(local) if local.suffix == ".gguf" else _read_folder(local)
        except UserError as error:
            raise UserError(error.problem.replace(str(local), path), error.fix) from None
        weakref.finalize(weights, files.pop_all().close)
    return weights


def read_tokenizer_json(path: str) -> str:
    """The ``tokenizer.json`` at ``path``: that file, or that of a folder with one, or of a GGUF.

    Raises ``UserError`` if there is none.
    """
    with _local(path, _files_of_a_tokenizer) as local:
        if local.is_dir():
            ggufs = sorted(local.glob("*.gguf"))
            alone = len(ggufs) == 1 and not (local / TOKENIZER).is_file()
            local = ggufs[0] if alone else local / TOKENIZER
        if not local.is_file():
            folder = path.rpartition("/")[0] or "." if path.endswith(local.name) else path
            raise UserError(
                f"there is no {local.name} in {folder}.",
                f"Give a tokenizer.json, a folder with one, or a GGUF. {_FIX_TOKENIZER}",
            )
        if local.suffix == ".gguf":
            return _read_gguf(local).tokenizer_json
        return local.read_text(encoding="utf-8", errors="replace")


def fitted_vocab_size(config: ModelConfig, tokenizer: Tokenizer) -> int:
    """The rows that the embedding of ``config`` needs for ``tokenizer``.

    As many as it has, or, where ids are more, the next multiple of 64.
    """
    if tokenizer.vocab_size <= config.vocab_size:
        return config.vocab_size
    return -(-tokenizer.vocab_size // _ROWS) * _ROWS


def fit_vocabulary(
    weights: StartingWeights, tokenizer: Tokenizer, *, seed: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """All tensors of ``weights`` one by one, with rows for what ``tokenizer`` adds to the model's own.

    The embedding, and the output projection where it is not tied, have ``fitted_vocab_size`` rows.
    New tokens take spare rows first; how rows are set says ``added_rows``. All others keep their
    bits. Raises ``UserError`` if ``tokenizer`` lacks a token of the model, or has it at another id.
    """
    rows = weights.config.vocab_size
    own = {name: row for name, row in Tokenizer(weights.tokenizer_json).ids.items() if row < rows}
    for name, row in own.items():
        if tokenizer.ids.get(name) != row:
            raise UserError(
                f"the corpus was tokenized by another vocabulary than the model's: {name!r} is "
                f"{tokenizer.ids.get(name)}, not {row}.",
                "Set tokenize.load to the place that train.start_from names.",
            )
    added = {name: row for name, row in tokenizer.ids.items() if name not in own}
    fitted = fitted_vocab_size(weights.config, tokenizer)
    return (
        (
            name,
            with_added_rows(tensor, sorted(own.values()), added, fitted, f"{seed} {name}")
            if name in ("model.embed_tokens.weight", "lm_head.weight")
            else tensor,
        )
        for name, tensor in weights.tensors()
    )


def weights_fingerprint(path: str) -> list[tuple[str, int, str]]:
    """What tells the files at ``path`` from others: name, bytes, and a hash of both ends.

    Reads two megabytes of each file at most. Raises ``UserError`` if there is none.
    """
    bare, mark, options = path.partition("?") if "://" in path else (path, "", "")
    folder, slash, name = bare.rpartition("/")
    alone = name.endswith((".gguf", ".json"))
    store = Store(f"{folder or slash or '.'}{mark}{options}" if alone else path)
    names = [name] if alone else store.list_files("")
    found = []
    for file in names:
        if file.endswith((".json", ".safetensors", ".bin", ".gguf")) and store.exists(file):
            with store.open_file(file) as source:
                size = source.size()
                ends = source.read(_END_BYTES)
                source.seek(max(0, size - _END_BYTES))
                ends += source.read(_END_BYTES)
            found.append((file, size, hashlib.sha256(ends).hexdigest()))
    if not found:
        raise UserError(f"there are no weights at {path}.", "Give a folder or a .gguf file.")
    return found


# -- places ------------------------------------------------------------------------------------


@contextmanager
def _local(path: str, files_of: Callable[[list[str]], set[str]]) -> Iterator[Path]:
    """The file or folder at ``path``; of a remote folder a copy of what ``files_of`` it chooses."""
    bare, mark, options = path.partition("?") if "://" in path else (path, "", "")
    folder, slash, name = bare.rpartition("/")
    if name.endswith((".gguf", ".json")):
        store = Store(f"{folder or slash or '.'}{mark}{options}")
        wanted = {name}
    else:
        store, name = Store(path), ""
        names = [] if store.is_local else store.list_files("")
        wanted = files_of([inside for inside in names if "/" not in inside])
    with store.local_folder("", wanted.__contains__) as local:
        yield local / name


def _files_of_a_model(names: list[str]) -> set[str]:
    if CONFIG not in names:
        return {name for name in names if name.endswith(".gguf")}
    safe = {name for name in names if name.endswith(".safetensors")}
    weights = safe or {name for name in names if name.endswith(".bin")}
    return {name for name in names if name.endswith(".json")} | weights


def _files_of_a_tokenizer(names: list[str]) -> set[str]:
    return {TOKENIZER} if TOKENIZER in names else _files_of_a_model(names)


# -- kinds of models ---------------------------------------------------------------------------


def _read_folder(folder: Path) -> StartingWeights:
    if not (folder / CONFIG).is_file():
        return _read_gguf(_only_gguf(folder))
    if (folder / ABOUT).is_file():
        check_checkpoint(folder)
    config = from_json(read_json(folder / CONFIG), str(folder / CONFIG))
    if not (folder / TOKENIZER).is_file():
        raise UserError(f"{folder} has no {TOKENIZER}.", _FIX_TOKENIZER)
    tokenizer_json = (folder / TOKENIZER).read_text(encoding="utf-8", errors="replace")
    files = WeightFiles.find(folder)
    shapes = {name: shape for name, shape in files.shapes().items() if _counts(name, config)}
    check_shapes(config, shapes, f"the weights in {folder}")
    return StartingWeights(
        config,
        tokenizer_json,
        _fim_format(folder, Tokenizer(tokenizer_json)),
        lambda: _floats(files, config),
    )


def _counts(name: str, config: ModelConfig) -> bool:
    """Whether a tensor of a file is one of ours: early Llamas stored their angles too."""
    tied = name == "lm_head.weight" and config.tie_embeddings
    return not tied and not name.endswith("rotary_emb.inv_freq")


def _floats(files: WeightFiles, config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in files.tensors():
        if _counts(name, config):
            if tensor.dtype not in _FLOATS:
                raise UserError(
                    f"the starting weights are quantised: {name} is {tensor.dtype}.",
                    "Give the model in bfloat16, float16 or float32.",
                )
            yield name, tensor


def _fim_format(folder: Path, tokenizer: Tokenizer) -> FimFormat | None:
    path = folder / FIM_FORMAT
    if path.is_file():
        return build(FimFormat, read_json(path), where=str(path))
    return format_of_tokens(tokenizer.has)


def _only_gguf(folder: Path) -> Path:
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            f"{folder} holds an adapter of another model.",
            "Merge it into its model (merge_and_unload of peft), and give what that saves.",
        )
    found = sorted(folder.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    raise UserError(
        f"{folder} holds no {CONFIG} and {len(found)} GGUF files{': ' * bool(names)}{names}.",
        "Give a folder of Hugging Face or of Treespan, or one .gguf file.",
    )


def _read_gguf(path: Path) -> StartingWeights:
    from treespan.model.gguf.reader import read_gguf

    model = read_gguf(path)
    return StartingWeights(model.config, model.tokenizer_json, model.fim_format, model.tensors)
