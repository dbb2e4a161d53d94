"""A checkpoint for other programs: a plain Hugging Face folder, or one GGUF file."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from treespan.model.checkpoint import (
    ABOUT,
    CONFIG,
    FIM_FORMAT,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from treespan.model.fim_format import FimRenderer
from treespan.model.gguf.writer import write_gguf
from treespan.model.hugging_face.weight_files import is_weights
from treespan.platform.errors import UserError
from treespan.platform.uri import masked

Format = Literal["hf", "gguf"]
Dtype = Literal["bf16", "f16", "f32", "q8_0"]

_TORCH: dict[Dtype, torch.dtype] = {
    "bf16": torch.bfloat16,
    "f16": torch.float16,
    "f32": torch.float32,
}
_NAMES: dict[torch.dtype, Dtype] = {dtype: name for name, dtype in _TORCH.items()}
_GENERATION = "generation_config.json"
_WRITTEN = {ABOUT, CONFIG, FIM_FORMAT, TOKENIZER, TOKENIZER_CONFIG, _GENERATION}
"""Of an exported folder, besides the weights."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: str
    format: Format
    dtype: Dtype
    bytes: int
    parameters: int
    cut_differently: float
    """The share of the tokens of code that the program will cut differently than we do."""
    load: str
    """One line that loads it."""

    def lines(self) -> list[str]:
        """What the command line prints."""
        size = f"{self.parameters:,} parameters as {self.dtype}, {self.bytes:,} bytes"
        told = [f"Wrote {self.path}: {size}.", f"Load it: {self.load}"]
        if self.cut_differently:
            told.append(
                f"llama.cpp has no pre-tokenizer that cuts text as this model's does: some "
                f"{self.cut_differently:.0%} of the tokens of code come out differently, and "
                f"completions get worse. Give it token ids (docs/model.md, GGUF)."
            )
        return told


def export(
    folder: Path, out: Path, form: Format, dtype: Dtype | None = None, *, force: bool = False
) -> Exported:
    """Write the checkpoint in ``folder`` to ``out``, which appears once it is complete.

    ``dtype`` is by default that of the checkpoint. Raises ``UserError`` if there is something at
    ``out`` already, unless ``force`` says to replace it and it is what an export writes; for an
    unusable checkpoint; for what a format cannot hold; and where nothing can be written.
    """
    _check_free(folder, out, form, force)
    if form == "hf" and dtype == "q8_0":
        raise UserError("A Hugging Face folder cannot be q8_0.", "Use --format gguf.")
    cast = _TORCH.get(dtype) if dtype is not None and form == "hf" else None
    checkpoint = load_checkpoint(folder, dtype=cast)
    if dtype is None:
        dtype = _NAMES[checkpoint.model.output_weight.dtype]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if form == "gguf":
            name = str(checkpoint.provenance.get("recipe") or out.stem)
            differing = write_gguf(checkpoint, out, dtype, name=name)
            load = f"llama-server -m {out}"
            size = out.stat().st_size
        else:
            differing = 0.0
            _write_folder(checkpoint, out)
            load = f'AutoModelForCausalLM.from_pretrained("{out}"), AutoTokenizer the same way'
            size = sum(path.stat().st_size for path in out.iterdir())
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror or error}.", "Choose another --out."
        ) from None
    parameters = checkpoint.config.num_parameters
    return Exported(str(out), form, dtype, size, parameters, differing, load)


def _check_free(folder: Path, out: Path, form: Format, force: bool) -> None:
    """Raise ``UserError`` if writing ``out`` could take something that is no export."""
    there, source = out.resolve(), folder.resolve()
    if there == source:
        raise UserError(f"{out} is the checkpoint itself.", "Choose another --out.")
    if source.is_relative_to(there):
        raise UserError(f"{out} holds the checkpoint.", "Choose another --out.")
    if there.is_relative_to(source):
        raise UserError(f"{out} lies in the checkpoint.", "Choose another --out.")
    if not os.path.lexists(out):
        return
    if not force:
        raise UserError(f"{out} exists already.", "Choose another --out, or add --force.")
    replaced = _is_export(out) if form == "hf" else out.is_file() and out.suffix == ".gguf"
    if out.is_symlink() or not replaced:
        kind = "a folder with a model and nothing else" if form == "hf" else "a .gguf file"
        raise UserError(
            f"{out} is not what --format {form} replaces, {kind}.", "Choose another --out."
        )


def _is_export(out: Path) -> bool:
    """Whether ``out`` is a folder with nothing but an export or a checkpoint in it, or nothing."""
    if not out.is_dir():
        return False
    names = {path.name for path in out.iterdir()}
    if not all(name in _WRITTEN or is_weights(name) for name in names):
        return False
    return not names or ABOUT in names or {CONFIG, _GENERATION} <= names


def _write_folder(checkpoint: Checkpoint, out: Path) -> None:
    """A checkpoint of ours, which transformers reads, and how it is to generate."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        save_checkpoint(
            partial,
            checkpoint.config,
            checkpoint.model.state_dict(),
            checkpoint.tokenizer,
            checkpoint.fim_format,
            checkpoint.provenance,
        )
        renderer = FimRenderer(checkpoint.fim_format, checkpoint.tokenizer)
        generation = {
            "bos_token_id": renderer.bos,
            # Any special token ends a middle, as in our own server.
            "eos_token_id": sorted(renderer.stop_ids),
            "pad_token_id": renderer.pad,
            "do_sample": False,
        }
        text = json.dumps(generation, indent=1, sort_keys=True)
        (partial / _GENERATION).write_text(text + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def local_out(place: str) -> Path:
    """The path ``place``. Raises ``UserError`` for a URI: an export is written to a disk."""
    if "://" in place:
        raise UserError(
            f"--out {masked(place)} is a URI, and exports are written to a disk.",
            "Give a local path, and copy from there.",
        )
    return Path(place)


def default_out(where: str, form: Format, dtype: Dtype | None) -> Path:
    """A name in the working directory for the export of the checkpoint at ``where``."""
    parts = [part for part in where.split("?")[0].rstrip("/").split("/") if part]
    name = next((part for part in reversed(parts) if part != "checkpoint"), "model")
    stem = name.replace(":", "-") + (f"-{dtype}" if dtype else "")
    return Path(f"{stem}.gguf" if form == "gguf" else f"{stem}-hf")
