"""A checkpoint for other programs: a plain Hugging Face folder, or one GGUF file."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from treespan.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from treespan.model.fim_format import FimRenderer
from treespan.model.gguf.writer import write_gguf
from treespan.platform.errors import UserError

Format = Literal["hf", "gguf"]
Dtype = Literal["bf16", "f16", "f32", "q8_0"]

_TORCH: dict[Dtype, torch.dtype] = {
    "bf16": torch.bfloat16,
    "f16": torch.float16,
    "f32": torch.float32,
}
_NAMES: dict[torch.dtype, Dtype] = {dtype: name for name, dtype in _TORCH.items()}


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
    ``out`` already, unless ``force`` says to replace it, for an unusable checkpoint, and for what
    a format cannot hold.
    """
    if out.exists() and not force:
        raise UserError(f"{out} exists already.", "Choose another --out, or add --force.")
    if out.exists() and out.is_dir() != (form == "hf"):
        raise UserError(f"{out} is not what --format {form} replaces.", "Choose another --out.")
    if out.resolve() == folder.resolve():
        raise UserError(f"{out} is the checkpoint itself.", "Choose another --out.")
    if form == "hf" and dtype == "q8_0":
        raise UserError("A Hugging Face folder cannot be q8_0.", "Use --format gguf.")
    cast = _TORCH.get(dtype) if dtype is not None and form == "hf" else None
    checkpoint = load_checkpoint(folder, dtype=cast)
    if dtype is None:
        dtype = _NAMES[checkpoint.model.output_weight.dtype]
    out.parent.mkdir(parents=True, exist_ok=True)
    differing = 0.0
    if form == "gguf":
        name = str(checkpoint.provenance.get("recipe") or out.stem)
        differing = write_gguf(checkpoint, out, dtype, name=name)
        load = f"llama-server -m {out}"
        size = out.stat().st_size
    else:
        _write_folder(checkpoint, out)
        load = f'AutoModelForCausalLM.from_pretrained("{out}"), AutoTokenizer the same way'
        size = sum(path.stat().st_size for path in out.iterdir())
    parameters = checkpoint.config.num_parameters
    return Exported(str(out), form, dtype, size, parameters, differing, load)


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
        (partial / "generation_config.json").write_text(text + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def default_out(where: str, form: Format, dtype: Dtype | None) -> Path:
    """A name in the working directory for the export of the checkpoint at ``where``."""
    parts = [part for part in where.split("?")[0].rstrip("/").split("/") if part]
    name = next((part for part in reversed(parts) if part != "checkpoint"), "model")
    stem = name.replace(":", "-") + (f"-{dtype}" if dtype else "")
    return Path(f"{stem}.gguf" if form == "gguf" else f"{stem}-hf")
