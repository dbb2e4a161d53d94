"""Layout of sequences: the parts stand where the format says, and cropping keeps what is near."""

from hypothesis import given
from hypothesis import strategies as st

from treespan.model.comments import header
from treespan.model.fim_format import FimFormat, FimRenderer, crop_context
from treespan.model.tokenizer import train

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
    assert header("a/b.py", "Python").splitlines()[0] == "# the file path is: a/b.py"
    assert header("a.css", "CSS").startswith("/* the file path is: a.css */\n")
    assert header("a.java", "Java").splitlines()[1] == "// the code file is written by Java"
    assert header("x", "No Such Language") == ""
    assert header("a\nb.py", "Python") == ""


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
