"""The transformer against Hugging Face's, and what follows from its shape."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from treespan.model.attention import document_ids, document_mask, document_positions
from treespan.model.config import ModelConfig, preset
from treespan.model.rope import angular_frequencies, attention_factor
from treespan.model.transformer import RmsNorm, Transformer, init_weights
from treespan.platform.errors import UserError


def small_config(**changes: object) -> ModelConfig:
    shape: dict[str, object] = {
        "vocab_size": 101,
        "hidden_size": 48,
        "intermediate_size": 72,
        "num_layers": 3,
        "num_heads": 6,
        "num_kv_heads": 2,
        "max_positions": 64,
        "init_std": 0.2,
    }
    return ModelConfig.model_validate({**shape, **changes})


def random_model(config: ModelConfig, seed: int = 0) -> Transformer:
    model = Transformer(config)
    init_weights(model, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


ROPE_PARAMETERS: dict[str, dict[str, object]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn, all set": {
        "rope_type": "yarn",
        "factor": 8.0,
        "original_max_position_embeddings": 2048,
        "attention_factor": 1.3,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "truncate": False,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
}
ROPE_SCALINGS: dict[str, dict[str, object] | None] = {
    "default": None,
    "linear": {"kind": "linear", "factor": 4.0},
    "yarn": {"kind": "yarn", "factor": 4.0, "original_positions": 16},
    "yarn, all set": {
        "kind": "yarn",
        "factor": 8.0,
        "original_positions": 2048,
        "attention_factor": 1.3,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "truncate": False,
    },
    "llama3": {"kind": "llama3", "factor": 8.0, "original_positions": 16},
}


def peer_config(config: ModelConfig, rope: str = "default") -> LlamaConfig | Qwen2Config:
    kind = Qwen2Config if config.attention_bias == "qkv" else LlamaConfig
    return kind(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.norm_eps,
        tie_word_embeddings=config.tie_embeddings,
        rope_parameters={**ROPE_PARAMETERS[rope], "rope_theta": config.rope_theta},
        **({"attention_bias": True} if config.attention_bias == "all" else {}),
    )


def peer_of(model: Transformer, rope: str = "default") -> LlamaForCausalLM | Qwen2ForCausalLM:
    config = peer_config(model.config, rope)
    kind = Qwen2ForCausalLM if isinstance(config, Qwen2Config) else LlamaForCausalLM
    peer = kind(config)
    peer.load_state_dict(model.state_dict())
    return peer.eval()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bias", ["none", "qkv", "all"])
@pytest.mark.parametrize(("kv_heads", "head_width"), [(1, None), (2, 6), (6, 16)])
@torch.no_grad()
def test_logits_are_hugging_faces(
    tied: bool, bias: str, kv_heads: int, head_width: int | None
) -> None:
    shape = {"num_kv_heads": kv_heads, "head_width": head_width}
    model = random_model(small_config(tie_embeddings=tied, attention_bias=bias, **shape))
    tokens = torch.randint(0, 101, (2, 50), generator=torch.Generator().manual_seed(1))

    ours = model.project(model(tokens))

    theirs = peer_of(model)(tokens).logits
    assert theirs.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", ["none", "qkv"])
@pytest.mark.parametrize("rope", ROPE_SCALINGS)
@pytest.mark.parametrize("start", [0, 32_000])
@torch.no_grad()
def test_positions_are_hugging_faces(rope: str, bias: str, start: int) -> None:
    """Beyond the original window; large angles show whether tables are computed alike."""
    config = small_config(
        max_positions=40_000,
        rope_theta=10_000.0,
        head_width=16,
        attention_bias=bias,
        rope_scaling=ROPE_SCALINGS[rope],
    )
    model = random_model(config)
    tokens = torch.randint(0, 101, (1, 50))
    positions = torch.arange(start, start + 50)[None]

    ours = model.project(model(tokens, positions))

    theirs = peer_of(model, rope)(tokens, position_ids=positions).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    if rope != "default":
        plain = Transformer(config.model_copy(update={"rope_scaling": None})).eval()
        plain.load_state_dict(model.state_dict())
        assert (plain.project(plain(tokens, positions)) - theirs).abs().max() > 0.01


@pytest.mark.parametrize("rope", [name for name in ROPE_SCALINGS if name != "default"])
@pytest.mark.parametrize("theta", [10_000.0, 1_000_000.0])
def test_angles_are_hugging_faces(rope: str, theta: float) -> None:
    scaling = ROPE_SCALINGS[rope]
    config = small_config(head_width=128, rope_theta=theta, rope_scaling=scaling)
    reference = ROPE_INIT_FUNCTIONS[str(ROPE_PARAMETERS[rope]["rope_type"])]
    frequencies, factor = reference(peer_config(config, rope), "cpu")
    torch.testing.assert_close(angular_frequencies(config), frequencies, atol=0, rtol=0)
    assert attention_factor(config) == factor


@torch.no_grad()
def test_a_packed_row_equals_its_documents_alone() -> None:
    model = random_model(small_config())
    lengths = [[5, 1, 17], [30]]
    tokens = torch.randint(0, 101, (2, 32))
    ids = document_ids(lengths, 32)

    packed = model(tokens, document_positions(ids), document_mask(ids))

    for row, row_lengths in enumerate(lengths):
        start = 0
        for length in row_lengths:
            part = slice(start, start + length)
            alone = model(tokens[row : row + 1, part])
            torch.testing.assert_close(packed[row, part], alone[0], atol=1e-5, rtol=1e-5)
            start += length


def test_packed_gradients_equal_those_of_documents_alone() -> None:
    model = random_model(small_config())
    tokens = torch.randint(0, 101, (1, 20))
    ids = document_ids([[7, 13]], 20)

    model(tokens, document_positions(ids), document_mask(ids)).square().sum().backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for part in (slice(0, 7), slice(7, 20)):
        model(tokens[:, part]).square().sum().backward()

    assert packed
    for name, parameter in model.named_parameters():
        if name in packed:
            torch.testing.assert_close(packed[name], parameter.grad, atol=1e-4, rtol=1e-4)


def test_activation_checkpointing_changes_no_gradient() -> None:
    model = random_model(small_config())
    tokens = torch.randint(0, 101, (2, 12))
    gradients = []
    for checkpointed in (False, True):
        model.zero_grad()
        model.checkpoint_activations = checkpointed
        model(tokens).square().sum().backward()
        gradients.append(model.model.embed_tokens.weight.grad.clone())
    torch.testing.assert_close(*gradients, atol=0, rtol=0)


def test_norm_statistics_are_float32() -> None:
    """A mean square in bfloat16 would be off by some percent over a wide row."""
    norm = RmsNorm(4096, 1e-6).bfloat16()
    x = torch.randn(2, 4096).bfloat16() * 300
    exact = x.double() * x.double().square().mean(-1, keepdim=True).rsqrt()
    error = (norm(x).double() - exact).abs() / exact.abs().clamp(min=1e-3)
    assert error.max() < 2**-7


@torch.no_grad()
def test_bfloat16_keeps_far_positions_apart() -> None:
    model = random_model(small_config(max_positions=40_000)).bfloat16()
    tokens = torch.tensor([[3, 5, 7, 9]])
    near = model(tokens, torch.tensor([[0, 1, 2, 3]])).float()
    far = model(tokens, torch.tensor([[30_000, 30_001, 30_002, 30_003]])).float()
    # Attention depends on distances only, which are the same.
    assert (near - far).abs().max() < 0.1 * near.abs().max()


def test_weights_have_no_buffers() -> None:
    assert not list(Transformer(small_config()).buffers())


def test_init_is_a_function_of_the_seed() -> None:
    states = []
    for seed, noise in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(noise)
        model = Transformer(small_config())
        init_weights(model, seed)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["lm_head.weight"], states[2]["lm_head.weight"])


def test_init_spreads_as_configured() -> None:
    config = small_config(hidden_size=192, intermediate_size=256, attention_bias="all")
    model = Transformer(config)
    init_weights(model, 0)
    residual = 0.2 / 6**0.5
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            assert bool((tensor == (0 if "bias" in name else 1)).all()), name
        else:
            wanted = residual if "o_proj" in name or "down_proj" in name else 0.2
            assert abs(float(tensor.std()) / wanted - 1) < 0.05, name


def test_init_is_rounded_not_redrawn_in_bfloat16() -> None:
    wide, narrow = Transformer(small_config()), Transformer(small_config()).bfloat16()
    init_weights(wide, 3)
    init_weights(narrow, 3)
    for name, tensor in wide.state_dict().items():
        assert torch.equal(tensor.bfloat16(), narrow.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "vocab_size", "low", "high"),
    [
        ("nano", 4096, 3e6, 5e6),
        ("tiny", 8192, 24e6, 27e6),
        ("small", 32_768, 130e6, 140e6),
        ("1b", 49_152, 1.27e9, 1.29e9),
        ("3b", 49_152, 3.1e9, 3.13e9),
        ("7b", 49_152, 7_432_572_928, 7_432_572_928),
    ],
)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bias", ["none", "qkv", "all"])
@pytest.mark.parametrize("head_width", [None, 96])
def test_parameters_are_counted(
    name: str,
    vocab_size: int,
    low: float,
    high: float,
    tied: bool,
    bias: str,
    head_width: int | None,
) -> None:
    changes = {"tie_embeddings": tied, "attention_bias": bias, "head_width": head_width}
    config = preset(name, vocab_size=vocab_size, **changes)
    with torch.device("meta"):
        model = Transformer(config)
    assert sum(p.numel() for p in model.parameters()) == config.num_parameters
    block = model.model.layers[0]
    matrices = sum(p.numel() for p in block.parameters() if p.ndim == 2)
    assert matrices == config.layer_matrix_parameters
    if not tied and bias == "none" and head_width is None:
        assert low <= config.num_parameters <= high


def test_flops_follow_the_published_formula() -> None:
    config = preset("7b", vocab_size=49_152)
    matrices = 49_152 * 4096 + 32 * (2 * 4096 * (4096 + 1024) + 3 * 4096 * 14464)
    assert config.flops_per_token(8192) == 6 * matrices + 12 * 32 * 4096 * 8192
    biased = preset("7b", vocab_size=49_152, attention_bias="all")
    assert biased.flops_per_token(8192) == config.flops_per_token(8192)
    narrow = preset("7b", vocab_size=49_152, head_width=64)
    matrices -= 32 * 4096 * (4096 + 1024)
    assert narrow.flops_per_token(8192) == 6 * matrices + 12 * 32 * 2048 * 8192


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_heads": 5}, "not a multiple of num_heads 5"),
        ({"num_kv_heads": 4}, "not a multiple of num_kv_heads 4"),
        ({"hidden_size": 18, "num_heads": 6}, "odd"),
        ({"head_width": 7}, "odd"),
        ({"num_layers": 0}, "num_layers"),
        ({"rope_scaling": {"kind": "linear", "factor": 0.5}}, "rope_scaling.*greater than"),
        ({"rope_scaling": {"kind": "dynamic"}}, "rope_scaling.*'linear', 'yarn', 'llama3'"),
        (
            {
                "rope_scaling": {
                    "kind": "llama3",
                    "factor": 8,
                    "original_positions": 8192,
                    "low_frequency_factor": 4,
                }
            },
            "high_frequency_factor 4.0 is not greater",
        ),
        ({"hiden_size": 64}, "hidden_size"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        preset("nano", vocab_size=512, **{"hidden_size": 48, "num_heads": 6, **changes})


def test_unknown_preset_names_the_known() -> None:
    with pytest.raises(UserError, match="nano"):
        preset("nanno", vocab_size=512)
