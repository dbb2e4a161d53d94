"""Layout of sequences: the parts stand where the format says, and cropping keeps what is near."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.model.fim_format import FimFormat, FimRenderer, crop_context, shipped_formats
from treespan.model.tokenizer import train
from treespan.platform.config import Config, build
from treespan.platform.errors import UserError

FORMAT = FimFormat()
TOKENIZER = train(["def f(): pass\n"] * 9, vocab_size=300, special_tokens=FORMAT.special_tokens())
RENDERER = FimRenderer(FORMAT, TOKENIZER)


def shown(ids: list[int]) -> str:
    return TOKENIZER.decode(ids)


def test_the_three_layouts() -> None:
    head, prefix, middle, suffix = (TOKENIZER.encode(t) for t in ("# h\n", "ab", "cd", "ef"))
    assert shown(RENDERER.ntp(prefix, head).tokens) == "<s># h\nab</s>"
    assert shown(RENDERER.ntp(prefix, head, complete=False).tokens) == "<s># h\nab"
    psm = RENDERER.fim(prefix, middle, suffix, head, "psm")
    assert shown(psm.tokens) == "<s><|fim_prefix|># h\nab<|fim_suffix|>ef<|fim_middle|>cd</s>"
    spm = RENDERER.fim(prefix, middle, suffix, head, "spm")
    assert shown(spm.tokens) == "<s><|fim_prefix|><|fim_suffix|>ef<|fim_middle|># h\nabcd</s>"
    for laid_out in (psm, spm):
        start, length = laid_out.middle_start, laid_out.middle_length
        assert shown(laid_out.tokens[start : start + length]) == "cd"


def test_a_prompt_is_the_beginning_of_its_training_sequence() -> None:
    parts = [TOKENIZER.encode(t) for t in ("x = ", "1", "\n")]
    for order in ("psm", "spm"):
        whole = RENDERER.fim(*parts, [], order)  # type: ignore[arg-type]
        prompt = RENDERER.prompt(parts[0], parts[2], [], order)  # type: ignore[arg-type]
        assert whole.tokens[: len(prompt)] == prompt
        assert whole.middle_start == len(prompt)


def test_headers_speak_the_files_language() -> None:
    def header(path: str, language: str) -> str:
        return shown(RENDERER.header_ids(path, language))

    assert header("a/b.py", "Python").splitlines()[0] == "# the file path is: a/b.py"
    assert header("a.css", "CSS").startswith("/* the file path is: a.css */\n")
    assert header("a.java", "Java").splitlines()[1] == "// the code file is written by Java"
    assert header("{language}", "Go").startswith("// the file path is: {language}\n")
    assert header("x", "No Such Language") == ""
    assert header("a\nb.py", "Python") == ""


SHIPPED = {
    "treespan": "<s><|fim_prefix|># the file path is: a.py\n# the code file is written by Python\n"
    "AB<|fim_suffix|>EF<|fim_middle|>CD</s>",
    "aixcoder": "<s>▁<AIX-SPAN-PRE> # the file path is: a.py\n"
    "# the code file is written by Python\nAB▁<AIX-SPAN-POST>EF▁<AIX-SPAN-MIDDLE>CD</s>",
    "starcoder2": "<file_sep><fim_prefix>a.py\nAB<fim_suffix>EF<fim_middle>CD<|endoftext|>",
    "qwen2.5-coder": "<|file_sep|>a.py\n<|fim_prefix|>AB<|fim_suffix|>EF<|fim_middle|>CD"
    "<|endoftext|>",
    "deepseek-coder": "<｜begin▁of▁sentence｜><｜fim▁begin｜># a.py\nAB<｜fim▁hole｜>EF<｜fim▁end｜>CD"
    "<｜end▁of▁sentence｜>",
    "codellama": "<s>▁<PRE>AB▁<SUF>EF▁<MID>CD▁<EOT>",
}


def renderer_of(fim_format: FimFormat) -> FimRenderer:
    special = fim_format.special_tokens()
    return FimRenderer(fim_format, train([], vocab_size=280, special_tokens=special))


RENDERERS = [renderer_of(FimFormat.model_validate(name)) for name in SHIPPED]


def test_shipped_formats_are_those_of_their_models() -> None:
    assert shipped_formats() == sorted(SHIPPED)
    assert FimFormat.model_validate("treespan") == FimFormat()
    for renderer in RENDERERS:
        prefix, middle, suffix = (renderer.tokenizer.encode(t) for t in ("AB", "CD", "EF"))
        header_ids = renderer.header_ids("a.py", "Python")
        sequence = renderer.fim(prefix, middle, suffix, header_ids, "psm")
        assert renderer.tokenizer.decode(sequence.tokens) == SHIPPED[renderer.format.name]


@given(
    st.sampled_from(RENDERERS),
    st.text(),
    st.text(),
    st.text(),
    st.sampled_from(["", "a.py", "é/<|fim_prefix|>.py"]),
)
def test_restoring_gives_back_the_text(
    renderer: FimRenderer, prefix: str, middle: str, suffix: str, path: str
) -> None:
    header_ids = renderer.header_ids(path, "Python") if path else []
    parts = [renderer.tokenizer.encode(text) for text in (prefix, middle, suffix)]
    code = renderer.tokenizer.encode(prefix + middle + suffix)
    for complete in (True, False):
        plain = renderer.ntp(code, header_ids, complete=complete)
        assert renderer.restore(plain.tokens, header_ids) == prefix + middle + suffix
    assert len(renderer.ntp(code, [], complete=True).tokens) == len(code) + renderer.ntp_overhead
    for order in renderer.format.orders:
        whole = renderer.fim(*parts, header_ids, order)
        lengths = sum(map(len, (*parts, header_ids)))
        assert len(whole.tokens) == lengths + renderer.fim_overhead
        assert renderer.restore(np.array(whole.tokens), header_ids) == prefix + middle + suffix
        prompt = renderer.prompt(parts[0], parts[2], header_ids, order)
        assert renderer.restore(prompt, header_ids) == prefix + suffix
        assert renderer.restore(whole.tokens[:-1], header_ids) == prefix + middle + suffix


def test_restoring_wants_the_header_that_is_there() -> None:
    header_ids = RENDERER.header_ids("a.py", "Python")
    plain = RENDERER.ntp(TOKENIZER.encode("x = 1\n"), header_ids)
    with pytest.raises(ValueError, match="begins with"):
        RENDERER.restore(plain.tokens, RENDERER.header_ids("b.py", "Python"))


def test_an_order_that_a_model_never_saw_is_refused() -> None:
    renderer = renderer_of(FimFormat.model_validate("qwen2.5-coder"))
    with pytest.raises(ValueError, match="has no order spm"):
        renderer.prompt([], [], [], "spm")


def test_generation_stops_at_every_special_token() -> None:
    renderer = renderer_of(FimFormat.model_validate("codellama"))
    assert renderer.tokenizer.id_of("▁<EOT>") in renderer.stop_ids
    assert {renderer.bos, renderer.eos} <= renderer.stop_ids


def test_formats_in_recipes() -> None:
    def given_as(value: object) -> FimFormat:
        return build(_Section, {"fim_format": value}, where="recipe").fim_format

    assert given_as("codellama").end_of_middle == "▁<EOT>"
    changed = given_as({"base": "starcoder2", "header": "none", "file_sep": None})
    assert (changed.prefix, changed.header) == ("<fim_prefix>", "none")
    assert given_as(changed.to_dict()) == changed
    for value, message in [
        ("qwen", "no FIM format 'qwen'; there are aixcoder, codellama"),
        ({"base": "qwen2.5-coder", "order": "spm"}, "order 'spm' is not one of orders"),
        ({"base": "codellama", "prefx": "x"}, "unknown key 'fim_format.prefx'"),
        ({"suffix": "<s>"}, "must differ"),
        ({"pad": "<s>"}, "eos excepted"),
        ({"header": "file_sep"}, "file_sep names a token"),
        ({"bos": ""}, "not be empty"),
    ]:
        with pytest.raises(UserError, match=message):
            given_as(value)


class _Section(Config):
    fim_format: FimFormat = FimFormat()


@given(
    st.lists(st.integers(), max_size=40), st.lists(st.integers(), max_size=40), st.integers(0, 60)
)
def test_cropping(prefix: list[int], suffix: list[int], room: int) -> None:
    left, right = crop_context(prefix, suffix, room)
    assert len(left) + len(right) == min(room, len(prefix) + len(suffix))
    assert prefix[len(prefix) - len(left) :] == left
    assert suffix[: len(right)] == right
    half = room // 2
    assert len(left) >= min(len(prefix), half)
    assert len(right) >= min(len(suffix), half)
