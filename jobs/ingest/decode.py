"""Bytes to text, or the reason why not. UTF-8 is kept exactly: nothing is normalised."""

from __future__ import annotations

from dataclasses import dataclass

from treespan.jobs.ingest.encodings import WIDE_MARKS, Text, convert, hides_in_ascii

LFS_POINTER = b"version https://git-lfs.github.com/spec/"

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


def decode(data: bytes, *, convertible: bool = False, stated: str = "") -> Text | Undecodable:
    """The text of ``data``: UTF-8, exactly, a byte order mark included.

    With ``convertible``, other encodings are tried too, that which the source has ``stated`` first.
    UTF-16 without a byte order mark has NUL bytes and counts as binary.
    """
    if not data.startswith(tuple(WIDE_MARKS)) and not (convertible and hides_in_ascii(stated)):
        if b"\0" in data:
            return Undecodable("binary", "NUL byte")
        if data.startswith(LFS_POINTER):
            return Undecodable("lfs-pointer")
        try:
            return Text(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            if not convertible:
                return Undecodable("encoding", f"not UTF-8 at byte {error.start}")
    elif not convertible:
        return Undecodable("encoding", "a byte order mark of UTF-16 or UTF-32")
    found = convert(data, stated)
    if isinstance(found, str):
        return Undecodable("encoding", found)
    return Undecodable("binary", "NUL byte") if "\0" in found.text else found


def is_binary_name(path: str) -> bool:
    """Whether the file's name alone tells that it is not text (``libx.so.1`` too)."""
    name = path.rpartition("/")[2].lower()
    return f".{name.rpartition('.')[2]}" in BINARY_SUFFIXES or ".so." in name
