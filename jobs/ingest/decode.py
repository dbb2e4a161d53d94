"""Bytes to text, or the reason why not. Text is kept exactly: nothing is normalised."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

LFS_POINTER = b"version https://git-lfs.github.com/spec/"

_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_BINARY = """
    .a .avi .bin .bmp .bz2 .class .dll .dylib .eot .exe .flac .gif .gz .h5 .ico .jar .jpeg
    .jpg .lib .lzma .mo .mov .mp3 .mp4 .npy .npz .o .obj .ogg .otf .parquet .pdf .pickle .pkl
    .png .psd .pt .pth .pyc .pyd .pyo .safetensors .so .sqlite .tar .tgz .tif .tiff .ttf .war
    .wasm .wav .webm .webp .whl .woff .woff2 .xls .xlsx .xz .zip .zst
"""
BINARY_SUFFIXES = frozenset(_BINARY.split())
"""Not even opened. Only a matter of speed: the content check finds binary files of any name."""


@dataclass(frozen=True)
class Undecodable:
    """Why bytes are not text: the ledger's rule and detail."""

    rule: str
    detail: str = ""


def decode(data: bytes) -> str | Undecodable:
    """The text of ``data``: UTF-8, exactly, a byte order mark included.

    Other encodings cannot be told apart safely, and one wrong guess puts garbage in the corpus.
    """
    for mark, name in _WIDE_MARKS.items():
        if data.startswith(mark):
            return Undecodable("encoding", name)
    if b"\0" in data:
        return Undecodable("binary", "NUL byte")
    if data.startswith(LFS_POINTER):
        return Undecodable("lfs-pointer")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Undecodable("encoding", f"not UTF-8 at byte {error.start}")


def is_binary_name(path: str) -> bool:
    """Whether the file's name alone tells that it is not text (``libx.so.1`` too)."""
    name = path.rpartition("/")[2].lower()
    return f".{name.rpartition('.')[2]}" in BINARY_SUFFIXES or ".so." in name
