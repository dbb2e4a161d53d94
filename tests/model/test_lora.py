"""Adapters: what they compute, what is trained, and that they become the weights they stand for."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.model.small_transformer import model
from torch import Tensor, nn

from treespan.model.lora import Adapters, LoraLinear, adapter_state, add_adapters, merged_state
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTERS = Adapters(rank=4, alpha=12.0, targets=ALL)


def trained(transformer: Transformer) -> Transformer:
    """Every trained tensor moved by some steps of an optimizer."""
    parameters = [p for p in transformer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.02)
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        tokens = torch.randint(0, 40, (2, 9), generator=generator)
        optimizer.zero_grad()
        transformer.project(transformer(tokens)).float().square().mean().backward()
        optimizer.step()
    return transformer


def logits(transformer: Transformer) -> Tensor:
    with torch.no_grad():
        return transformer.project(transformer(torch.arange(20).view(2, 10)))


def test_fresh_adapters_change_nothing() -> None:
    plain = model()
    adapted = copy.deepcopy(plain)
    add_adapters(adapted, ADAPTERS, seed=0)
    assert torch.equal(logits(adapted), logits(plain))
    assert plain.state_dict().keys() <= adapted.state_dict().keys()


def test_an_adapter_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    base = nn.Linear(5, 3)
    adapted = LoraLinear(base, rank=2, scale=1.5)
    for factor in (adapted.lora_a, adapted.lora_b):
        factor.data.normal_(generator=generator)
    x = torch.randn(7, 5, generator=generator)
    by_hand = x @ (base.weight + 1.5 * adapted.lora_b @ adapted.lora_a).T + base.bias
    torch.testing.assert_close(adapted(x), by_hand)
    assert adapted.weight is base.weight


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("train_embeddings", [False, True])
def test_only_what_is_adapted_is_trained(tied: bool, train_embeddings: bool) -> None:
    adapted = model(tied=tied)
    add_adapters(adapted, Adapters(4, 12.0, ALL, train_embeddings), seed=0)
    before = {name: tensor.clone() for name, tensor in adapted.state_dict().items()}
    trained(adapted)
    names = {"model.embed_tokens.weight", "lm_head.weight"} if train_embeddings else set()
    for name, tensor in adapted.state_dict().items():
        moved = not torch.equal(tensor, before[name])
        assert moved == (name in names or "lora_" in name), name
    count = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    per_block = 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48))
    embeddings = (1 if tied else 2) * 40 * 32 if train_embeddings else 0
    assert count == 2 * per_block + embeddings


@pytest.mark.parametrize("tied", [False, True])
def test_merged_weights_compute_the_same_without_adapters(tied: bool) -> None:
    adapted = model(tied=tied)
    adapters = Adapters(4, 12.0, ALL, train_embeddings=True)
    add_adapters(adapted, adapters, seed=0)
    trained(adapted)
    merged = model(tied=tied)
    fresh = logits(merged)
    merged.load_state_dict(dict(merged_state(adapted.state_dict(), adapters)))
    torch.testing.assert_close(logits(merged), logits(adapted), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(adapted), fresh, atol=1e-2)


def test_merging_rounds_once() -> None:
    adapted = model(dtype=torch.bfloat16)
    add_adapters(adapted, ADAPTERS, seed=0)
    trained(adapted)
    state = adapted.state_dict()
    merged = dict(merged_state(state, ADAPTERS))
    name = "model.layers.1.mlp.up_proj"
    a, b = state[f"{name}.lora_a"].double(), state[f"{name}.lora_b"].double()
    exact = state[f"{name}.weight"].double() + 3.0 * b @ a
    assert merged[f"{name}.weight"].dtype == torch.bfloat16
    differing = (merged[f"{name}.weight"] != exact.bfloat16()).float().mean()
    assert differing < 0.002  # where float32 and float64 round to different sides


def test_draws_depend_on_seed_and_name_alone() -> None:
    one, few, narrow, other = model(), model(), model(dtype=torch.bfloat16), model()
    add_adapters(one, ADAPTERS, seed=5)
    add_adapters(few, Adapters(4, 1.0, ("v_proj",)), seed=5)
    add_adapters(narrow, ADAPTERS, seed=5)
    add_adapters(other, ADAPTERS, seed=6)
    name = "model.layers.1.self_attn.v_proj.lora_a"
    draw = one.state_dict()[name]
    assert torch.equal(few.state_dict()[name], draw)
    assert torch.equal(narrow.state_dict()[name], draw.bfloat16())
    assert not torch.equal(other.state_dict()[name], draw)
    assert not torch.equal(one.state_dict()[name.replace("1", "0")], draw)
    assert draw.abs().max() <= 32**-0.5
    assert draw.std() == pytest.approx(32**-0.5 / 3**0.5, rel=0.15)


def test_adding_adapters_draws_no_global_number() -> None:
    transformer, before = model(), torch.get_rng_state()
    add_adapters(transformer, ADAPTERS, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_trained_state_is_what_an_optimizer_sees() -> None:
    for train_embeddings in (False, True):
        adapters = Adapters(4, 12.0, ("q_proj", "up_proj"), train_embeddings)
        transformer = model()
        add_adapters(transformer, adapters, seed=0)
        wanted = {name for name, p in transformer.named_parameters() if p.requires_grad}
        assert adapter_state(transformer.state_dict(), adapters).keys() == wanted


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UserError, match="no matrix 'c_attn'"):
        add_adapters(model(), Adapters(4, 1.0, ("q_proj", "c_attn")), seed=0)
