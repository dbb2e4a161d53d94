"""Holes in held-out files: laid out in any format, scored from their first token on."""

import pytest

from treespan.jobs.evaluate.holes import HeldoutFile, holes_of
from treespan.jobs.evaluate.scoring import answer, model_losses
from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat, FimRenderer, shipped_formats
from treespan.model.tokenizer import train
from treespan.model.transformer import Transformer, init_weights

TEXT = "def area(width, height):\n    if width:\n        return width * height\n    return 0\n" * 3


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = ModelConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        max_positions=512,
    )
    model = Transformer(config)
    init_weights(model, 0)
    return model.eval()


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", shipped_formats())
def test_every_format_can_be_scored(name: str, header: bool, model: Transformer) -> None:
    fim_format = FimFormat.model_validate(name)
    if not header:
        fim_format = FimFormat.model_validate({"base": name, "header": "none", "file_sep": None})
    tokenizer = train([TEXT], vocab_size=280, special_tokens=fim_format.special_tokens())
    renderer = FimRenderer(fim_format, tokenizer)
    file = HeldoutFile("id", "repo", "a.py", "Python", TEXT)
    holes = list(holes_of(file, renderer, 0, 512, 200))
    assert [hole.objective for hole in holes] == ["ntp", "fim", "sfim"]
    for hole in holes:
        assert hole.prompt
        assert len(hole.prompt) + len(hole.middle) < 512
        losses = model_losses(model, renderer, hole)
        assert losses.middle > 0
        assert (losses.end is None) == (hole.objective == "ntp")
        assert isinstance(answer(model, renderer, hole), str)
    whole = renderer.restore(
        [*holes[1].prompt, *holes[1].middle], renderer.header_ids(file.path, file.language)
    )
    assert whole == TEXT
