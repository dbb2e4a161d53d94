import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.ingest.decode import Undecodable, decode, is_binary_name


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_without_nul_comes_back_exactly(text: str) -> None:
    assert decode(text.encode()) == text


@given(st.binary())
def test_what_is_decoded_encodes_to_the_same_bytes(data: bytes) -> None:
    text = decode(data)
    if isinstance(text, str):
        assert text.encode() == data
    else:
        assert text.rule in {"binary", "encoding", "lfs-pointer"}


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("ä".encode("latin-1"), "encoding"),
        ("x = 1".encode("utf-16"), "encoding"),
        (b"\x7fELF\0\0", "binary"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "lfs-pointer"),
        (b"\xed\xa0\x80", "encoding"),  # a surrogate half
    ],
)
def test_undecodable(data: bytes, rule: str) -> None:
    text = decode(data)
    assert isinstance(text, Undecodable)
    assert text.rule == rule


def test_a_byte_order_mark_and_line_ends_are_kept() -> None:
    assert decode(b"\xef\xbb\xbfx\r\n") == "\ufeffx\r\n"


@pytest.mark.parametrize(
    ("path", "binary"),
    [
        ("a/b.so", True),
        ("libx.so.1.2", True),
        ("A.PNG", True),
        ("so.py", False),
        ("Makefile", False),
    ],
)
def test_binary_names(path: str, binary: bool) -> None:
    assert is_binary_name(path) is binary
