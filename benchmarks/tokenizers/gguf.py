"""The metadata of a GGUF file, which holds a model's vocabulary and merges before its weights."""

from __future__ import annotations

import struct
from typing import IO, Any

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9


def read_metadata(stream: IO[bytes]) -> dict[str, Any]:
    """Keys and values of versions 2 and 3 (the layout is that of ggml's docs/gguf.md)."""
    magic, version = stream.read(4), _scalar(stream, "I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("no GGUF of version 2 or 3")
    _, count = _scalar(stream, "Q"), _scalar(stream, "Q")
    return {_string(stream): _value(stream, _scalar(stream, "I")) for _ in range(count)}


def _value(stream: IO[bytes], kind: int) -> Any:
    if kind == _STRING:
        return _string(stream)
    if kind == _ARRAY:
        inner, length = _scalar(stream, "I"), _scalar(stream, "Q")
        return [_value(stream, inner) for _ in range(length)]
    return _scalar(stream, _SCALARS[kind])


def _string(stream: IO[bytes]) -> str:
    return stream.read(_scalar(stream, "Q")).decode("utf-8", errors="replace")


def _scalar(stream: IO[bytes], code: str) -> Any:
    return struct.unpack(f"<{code}", stream.read(struct.calcsize(code)))[0]
