import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.ingest.decode import Undecodable, decode, is_binary_name
from treespan.jobs.ingest.encodings import Text

CODE = """def area(width, height):
    # {}
    if width < 0 or height < 0:
        raise ValueError("negative")
    return width * height  # {}


def total(shapes):
    # {}
    return sum(area(*shape) for shape in shapes)
"""
COMMENTS = {
    "fr": ("La hauteur a été donnée en mètres", "déjà vérifié", "Ne dépassez pas la limite prévue"),
    "de": ("Größe des Rechtecks für die Übersicht", "geprüft", "Läuft über alle Schlüssel, außer…"),
    "pl": (
        "Wysokość musi być większa niż zero",
        "już sprawdzone",
        "Dodaj wszystkie pola są też źródłem",
    ),
    "ru": ("Высота прямоугольника в метрах", "уже проверено", "Сумма площадей всех фигур списка"),
    "ja": (
        "長方形の面積を計算します。",
        "すでに確認しました",
        "すべての図形の面積を合計する関数です。",
    ),
    "zh": ("计算矩形的面积，单位是平方米", "已经检查过了", "返回列表中所有图形的面积总和。"),
    "zh-tw": ("計算矩形的面積，單位是平方公尺", "已經檢查過了", "傳回清單中所有圖形的面積總和。"),
    "ko": (
        "사각형의 넓이를 계산합니다",
        "이미 확인했습니다",
        "목록에 있는 모든 도형의 넓이를 더합니다",
    ),
}
WRITTEN = [
    *(("fr", name) for name in ("iso-8859-1", "windows-1252")),
    *(("de", name) for name in ("windows-1252",)),
    *(("pl", name) for name in ("iso-8859-2", "windows-1250")),
    *(("ru", name) for name in ("windows-1251", "koi8-r", "cp866")),
    *(("ja", name) for name in ("shift-jis", "euc-jp")),
    *(("zh", "gbk"), ("zh-tw", "big5"), ("ko", "euc-kr")),
]


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_without_nul_comes_back_exactly(text: str) -> None:
    assert decode(text.encode(), convertible=True) == Text(text)


@given(st.binary(), st.booleans(), st.sampled_from(["", "latin-1", "idna", "hex", "\0", "cp037"]))
def test_any_bytes_have_an_answer(data: bytes, convertible: bool, stated: str) -> None:
    found = decode(data, convertible=convertible, stated=stated)
    if isinstance(found, Undecodable):
        assert found.rule in {"binary", "encoding", "lfs-pointer"}
    elif not found.encoding:
        assert found.text.encode() == data
    else:
        assert convertible
        assert "\0" not in found.text
        assert found.text.encode()


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
    found = decode(data)
    assert isinstance(found, Undecodable)
    assert found.rule == rule


def test_a_byte_order_mark_and_line_ends_are_kept() -> None:
    assert decode(b"\xef\xbb\xbfx\r\n") == Text("\ufeffx\r\n")


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_wide_text_needs_its_mark(codec: str, order: str) -> None:
    text = "x = 'π 🎉'\r\n"
    data = f"\ufeff{text}".encode(f"{codec}-{order}")
    assert decode(data, convertible=True) == Text(text, codec)
    assert decode(text.encode(f"{codec}-{order}"), convertible=True) == Undecodable(
        "binary", "NUL byte"
    )
    broken = decode(data[:-1], convertible=True)
    assert broken == Undecodable("encoding", f"broken {codec}")
    nul = decode("\ufeffa\0b".encode(f"{codec}-{order}"), convertible=True)
    assert nul == Undecodable("binary", "NUL byte")


@pytest.mark.parametrize(
    ("declaration", "codec", "shown"),
    [
        ("# -*- coding: latin-1 -*-\nx = '{}'\n", "latin-1", "iso-8859-1"),
        ("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '{}'\n", "cp1252", None),
        ("# encoding: ISO-8859-1\nputs '{}'\n", "cp1252", "windows-1252"),
        ("<?xml version='1.0' encoding='iso-8859-15'?>\n<a>{}</a>\n", "iso8859-15", None),
        ('@charset "windows-1252";\n/* {} */\n', "cp1252", None),
        ("/* {} */\n" + "int x;\n" * 20 + "/* vim: set fenc=latin1 ts=4: */\n", "latin-1", None),
    ],
)
def test_what_a_file_declares_holds(declaration: str, codec: str, shown: str | None) -> None:
    said = "é€" if codec in {"cp1252", "iso8859-15"} else "é"  # too little for any detector
    text = declaration.format(said)
    found = decode(text.encode(codec), convertible=True)
    assert isinstance(found, Text)
    assert found.text == text
    assert shown is None or found.encoding == shown


def test_a_declaration_that_does_not_fit_is_passed_over() -> None:
    for name in ("ascii", "utf-8", "klingon", "idna", "unicode_escape", "cp037", "iso2022_jp"):
        text = f"# -*- coding: {name} -*-\n" + CODE.format(*COMMENTS["ru"])
        found = decode(text.encode("koi8-r"), convertible=True)
        assert found == Text(text, "koi8-r")


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
def test_comments_in_code_are_converted(language: str, encoding: str) -> None:
    text = CODE.format(*COMMENTS[language]).replace("…", "..." if "8859" in encoding else "…")
    found = decode(text.encode(encoding), convertible=True)
    assert isinstance(found, Text), found
    assert found.text == text


def test_what_the_source_states_goes_first() -> None:
    data = "x = 'é'\n".encode("cp437")
    assert decode(data, convertible=True, stated="IBM437") == Text("x = 'é'\n", "cp437")


def test_mixed_encodings_are_dropped() -> None:
    """One line of another encoding in a file of UTF-8, wherever it stands, and the other way."""
    lines = CODE.format(*COMMENTS["fr"]).split("\n")
    for place, line in enumerate(lines):
        if not line.isascii():
            for one, others in (("latin-1", "utf-8"), ("utf-8", "latin-1")):
                data = b"\n".join(
                    other.encode(one if at == place else others) for at, other in enumerate(lines)
                )
                found = decode(data, convertible=True)
                assert isinstance(found, Undecodable)
                assert found.detail == "UTF-8 and another encoding in one file"


def test_what_is_not_plain_is_dropped() -> None:
    for data in (b"x = '\xe9'\n", b"M\xfcller\n", b"\x81\x8d\x8f\x90\x9d\n", bytes(range(1, 256))):
        found = decode(data, convertible=True)
        assert isinstance(found, Undecodable)
        assert found.rule == "encoding"


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
