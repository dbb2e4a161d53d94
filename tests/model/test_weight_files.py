"""Files of weights: whatever the sizes and the limit, the same tensors come back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from treespan.model.hugging_face.weight_files import WeightFiles, write_weights
from treespan.platform.errors import UserError

SHAPES = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=12)


@given(SHAPES, st.integers(1, 400), st.randoms(use_true_random=False))
def test_tensors_come_back(shapes: list[list[int]], limit: int, random: object) -> None:
    tensors = {f"layer.{number}": torch.randn(shape) for number, shape in enumerate(shapes)}
    items = list(tensors.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder, iter(items), limit)
        files = WeightFiles.find(folder)
        read = list(files.tensors())
        assert len(read) == len(tensors)
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in read)
        assert files.shapes() == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for path in files.paths:
            held = dict(WeightFiles((path,)).tensors())
            assert len(held) == 1 or sum(tensor.nbytes for tensor in held.values()) <= limit
        # No two neighbours would have fitted one file, and nothing else lies there.
        index = {"model.safetensors.index.json"} if len(files.paths) > 1 else set()
        assert {path.name for path in folder.iterdir()} == {p.name for p in files.paths} | index
        order = [tensors[name].nbytes for name, _ in items]
        assert len(files.paths) == greedy(order, limit)


def greedy(sizes: list[int], limit: int) -> int:
    """The number of shards that filling one after the other takes."""
    shards, filled = 1, 0
    for size in sizes:
        if filled and filled + size > limit:
            shards, filled = shards + 1, 0
        filled += size
    return shards


def test_safetensors_come_before_torch_and_whole_before_shards(tmp_path: Path) -> None:
    one, two = {"x": torch.ones(3)}, {"x": torch.zeros(3)}
    torch.save(two, tmp_path / "pytorch_model.bin")
    assert torch.equal(dict(WeightFiles.find(tmp_path).tensors())["x"], two["x"])
    write_weights(tmp_path, one.items())
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert torch.equal(dict(WeightFiles.find(tmp_path).tensors())["x"], one["x"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x02K\x01."])
def test_a_file_that_is_no_torch_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as plain weights"):
        WeightFiles.find(tmp_path).shapes()
