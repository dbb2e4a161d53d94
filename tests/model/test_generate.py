"""Generation with a cache against generation without one, and sampling against its definition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treespan.model.config import ModelConfig
from treespan.model.generate import Sampler, Sampling, generate, new_cache, next_logits
from treespan.model.transformer import Transformer, init_weights


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = ModelConfig(
        vocab_size=97,
        hidden_size=48,
        intermediate_size=64,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        max_positions=64,
        init_std=0.3,
    )
    transformer = Transformer(config)
    init_weights(transformer, 7)
    return transformer.eval()


@torch.no_grad()
def generate_naively(
    model: Transformer, prompt: list[int], max_tokens: int, sampling: Sampling
) -> Iterator[int]:
    sampler, ids = Sampler(sampling), list(prompt)
    for _ in range(max_tokens):
        logits = model.project(model(torch.tensor([ids])))[0, -1].float()
        ids.append(sampler.choose(logits))
        yield ids[-1]


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=1.5, top_p=0.9, top_k=30, seed=4)]
)
def test_the_cache_changes_nothing(model: Transformer, sampling: Sampling) -> None:
    prompt = [5, 1, 96, 33, 2]
    cached = list(generate(model, prompt, max_tokens=40, sampling=sampling))
    assert cached == list(generate_naively(model, prompt, 40, sampling))
    assert len(set(cached)) > 3


def test_prefill_in_parts_gives_the_same_logits(model: Transformer) -> None:
    prompt = torch.randint(0, 97, (20,)).tolist()
    whole = next_logits(model, prompt, new_cache(model, 20))
    cache = new_cache(model, 20)
    for part in (prompt[:3], prompt[3:4], prompt[4:]):
        logits = next_logits(model, part, cache)
    torch.testing.assert_close(logits, whole, atol=1e-5, rtol=1e-5)


def test_generation_ends_before_a_stop_id(model: Transformer) -> None:
    free = list(generate(model, [1, 2], max_tokens=20))
    stop = free[5]
    assert list(generate(model, [1, 2], max_tokens=20, stop_ids={stop})) == free[: free.index(stop)]


def test_ids_beyond_the_vocabulary_are_never_chosen(model: Transformer) -> None:
    sampling = Sampling(temperature=5.0)
    ids = list(generate(model, [1], max_tokens=60, sampling=sampling, vocab_size=8))
    assert max(ids) < 8


def test_equal_seeds_give_equal_tokens(model: Transformer) -> None:
    def draw(seed: int) -> list[int]:
        sampling = Sampling(temperature=1.0, seed=seed)
        return list(generate(model, [1], max_tokens=30, sampling=sampling))

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize(("length", "new"), [(0, 3), (60, 5)])
def test_lengths_that_do_not_fit_are_refused(model: Transformer, length: int, new: int) -> None:
    with pytest.raises(ValueError, match=r"empty|exceed the model's 64 positions"):
        next(generate(model, [1] * length, max_tokens=new))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(-8, 8, width=16), min_size=1, max_size=12),
    st.floats(0.05, 4),
    st.floats(0.05, 1),
    st.integers(0, 6),
)
def test_drawn_ids_belong_to_the_nucleus(
    logits: list[float], temperature: float, top_p: float, top_k: int
) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k)
    sampler = Sampler(sampling)
    probabilities = (torch.tensor(logits, dtype=torch.float64) / temperature).softmax(0)
    for _ in range(5):
        chosen = sampler.choose(torch.tensor(logits))
        likelier = probabilities > probabilities[chosen] * (1 + 1e-6)
        if top_k:
            assert likelier.sum() < top_k
            candidates = probabilities.sort(descending=True).values[:top_k].sum()
        else:
            candidates = probabilities.sum()
        assert probabilities[likelier].sum() / candidates < top_p + 1e-5


def test_draws_follow_the_distribution() -> None:
    sampler = Sampler(Sampling(temperature=1.0, seed=3))
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    counts = torch.bincount(torch.tensor([sampler.choose(logits) for _ in range(4000)]))
    torch.testing.assert_close(counts / 4000, torch.tensor([0.5, 0.3, 0.2]), atol=0.03, rtol=0.0)


def test_a_tiny_temperature_is_greedy() -> None:
    sampler = Sampler(Sampling(temperature=1e-6))
    assert sampler.choose(torch.tensor([1.0, 9.0, 8.9])) == 1
