"""Prompts are laid out as in training, and cut to the room without losing a sentinel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treespan.model.fim_format import FimFormat, FimRenderer, Order, shipped_formats
from treespan.model.tokenizer import Tokenizer, train
from treespan.serve.api import RequestError
from treespan.serve.prompt import render_prompt

PREFIX, SUFFIX = "def f(x):\n    return ", "\n\nprint(f(1))\n"


@pytest.fixture(scope="module")
def renderer(tokenizer: Tokenizer) -> FimRenderer:
    return FimRenderer(FimFormat(), tokenizer)


def text_of(renderer: FimRenderer, ids: list[int]) -> str:
    return renderer.tokenizer.decode(ids)


def test_no_suffix_continues_the_file(renderer: FimRenderer) -> None:
    ids = render_prompt(
        renderer, prefix=PREFIX, suffix=None, path="a.py", max_tokens=8, max_positions=512
    )
    assert (
        text_of(renderer, ids)
        == "<s>" + text_of(renderer, renderer.header_ids("a.py", "Python")) + PREFIX
    )


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("psm", "<s><|fim_prefix|>{}<|fim_suffix|>{}<|fim_middle|>"),
        ("spm", "<s><|fim_prefix|><|fim_suffix|>{1}<|fim_middle|>{0}"),
    ],
)
@pytest.mark.parametrize("suffix", [SUFFIX, ""])
def test_a_suffix_asks_for_the_middle(
    tokenizer: Tokenizer, order: Order, expected: str, suffix: str
) -> None:
    renderer = FimRenderer(FimFormat(order=order), tokenizer)
    ids = render_prompt(
        renderer, prefix=PREFIX, suffix=suffix, path=None, max_tokens=8, max_positions=512
    )
    assert text_of(renderer, ids) == expected.format(PREFIX, suffix)


def test_the_layout_is_that_of_training(renderer: FimRenderer) -> None:
    encode = renderer.tokenizer.encode
    trained = renderer.fim(
        encode(PREFIX), encode("x"), encode(SUFFIX), renderer.header_ids("a.py", "Python"), "spm"
    )
    ids = render_prompt(
        renderer, prefix=PREFIX, suffix=SUFFIX, path="a.py", max_tokens=8, max_positions=512
    )
    assert ids == trained.tokens[: trained.middle_start]


@pytest.mark.parametrize("path", [None, "notes.unknown", "a\nb.py"])
def test_without_a_known_language_there_is_no_header(
    renderer: FimRenderer, path: str | None
) -> None:
    ids = render_prompt(
        renderer, prefix=PREFIX, suffix=None, path=path, max_tokens=8, max_positions=512
    )
    assert text_of(renderer, ids) == "<s>" + PREFIX


def test_the_text_decides_between_languages_of_one_ending(renderer: FimRenderer) -> None:
    prefix = "#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end\n"
    ids = render_prompt(
        renderer, prefix=prefix, suffix=None, path="a.h", max_tokens=8, max_positions=512
    )
    assert "written by Objective-C\n" in text_of(renderer, ids)


@settings(deadline=None)
@given(
    st.text("xy \n", max_size=400),
    st.text("pq \n", max_size=400),
    st.integers(1, 90),
    st.sampled_from([None, "some/path.py"]),
)
def test_what_is_too_long_keeps_what_is_near_the_cursor(
    renderer: FimRenderer, prefix: str, suffix: str, max_tokens: int, path: str | None
) -> None:
    prefix += "x"
    ids = render_prompt(
        renderer,
        prefix=prefix,
        suffix=suffix,
        path=path,
        max_tokens=max_tokens,
        max_positions=128,
    )
    assert len(ids) + max_tokens <= 128
    text = text_of(renderer, ids)
    assert text.startswith("<s><|fim_prefix|><|fim_suffix|>")
    after, before = text.removeprefix("<s><|fim_prefix|><|fim_suffix|>").split("<|fim_middle|>")
    assert suffix.startswith(after)
    code = before.rpartition("written by Python\n")[2]
    assert prefix.endswith(code)
    if len(ids) + max_tokens < 128:
        assert (code, after) == (prefix, suffix)


def test_a_long_file_without_suffix_keeps_its_end(renderer: FimRenderer) -> None:
    prefix = "".join(f"x{number} = {number}\n" for number in range(100))
    ids = render_prompt(
        renderer, prefix=prefix, suffix=None, path=None, max_tokens=8, max_positions=64
    )
    assert len(ids) + 8 == 64
    assert prefix.endswith(text_of(renderer, ids).removeprefix("<s>"))


def test_a_huge_text_is_cut_before_it_is_encoded(renderer: FimRenderer) -> None:
    ids = render_prompt(
        renderer,
        prefix="x = 1\n" * 150_000,
        suffix="y = 2\n" * 150_000,
        path=None,
        max_tokens=8,
        max_positions=128,
    )
    assert len(ids) + 8 == 128


@pytest.mark.parametrize(("prefix", "suffix"), [("", None), (" \n", None), ("", ""), ("\t", "\n")])
def test_blank_requests_are_refused(renderer: FimRenderer, prefix: str, suffix: str | None) -> None:
    with pytest.raises(RequestError, match="nothing to complete") as caught:
        render_prompt(
            renderer, prefix=prefix, suffix=suffix, path="a.py", max_tokens=8, max_positions=99
        )
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("suffix", [None, "y"])
def test_the_largest_max_tokens_is_named(renderer: FimRenderer, suffix: str | None) -> None:
    def render(max_tokens: int) -> list[int]:
        return render_prompt(
            renderer,
            prefix="x = 1",
            suffix=suffix,
            path=None,
            max_tokens=max_tokens,
            max_positions=64,
        )

    with pytest.raises(RequestError, match="at most") as caught:
        render(5000)
    largest = int(caught.value.message.rpartition(" ")[2])
    assert len(render(largest)) + largest == 64
    with pytest.raises(RequestError):
        render(largest + 1)


@pytest.mark.parametrize("suffix", [None, "", SUFFIX])
@pytest.mark.parametrize("name", shipped_formats())
def test_every_format_can_be_asked(name: str, suffix: str | None) -> None:
    fim_format = FimFormat.model_validate(name)
    special = fim_format.special_tokens()
    renderer = FimRenderer(fim_format, train([], vocab_size=280, special_tokens=special))
    for positions in (512, 64):
        ids = render_prompt(
            renderer,
            prefix=PREFIX * 2,
            suffix=suffix,
            path="a.py",
            max_tokens=8,
            max_positions=positions,
        )
        assert len(ids) <= positions - 8
        header_ids = renderer.header_ids("a.py", "Python")
        kept = header_ids if positions == 512 or len(header_ids) <= 14 else []
        restored = renderer.restore(ids, kept)
        assert restored in PREFIX * 2 + (suffix or "")
        if positions == 512:
            assert restored == PREFIX * 2 + (suffix or "")
