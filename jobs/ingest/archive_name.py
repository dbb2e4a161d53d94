"""What the name of an archive's file tells: the repository's name and its version."""

from __future__ import annotations

import re
from urllib.parse import unquote

SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.lzma"),
    *(".tar.zst", ".tzst", ".zip", ".whl", ".deb", ".crate", ".gem", ".jar", ".nupkg", ".egg"),
)
"""Names that make a file in a folder an archive. What it really is, its first bytes tell."""

_VERSIONED = re.compile(
    r"(?P<name>.+?)[-_]v?(?P<version>\d[\w.+!~]*(?:-(?:\d|(?:a|b|c|rc|pre|post|dev|alpha|beta"
    r"|final|snapshot)(?![a-z]))[\w.+!~]*)*)",
    re.IGNORECASE,
)


def stem(file_name: str) -> str:
    """``file_name`` without the suffix of an archive."""
    lower = file_name.lower()
    found = max((end for end in SUFFIXES if lower.endswith(end)), key=len, default="")
    return file_name[: len(file_name) - len(found)] or file_name


def name_and_version(file_name: str) -> tuple[str, str]:
    """``("rich", "13.7.1")`` for ``rich-13.7.1.tar.gz``; the version is empty if there is none.

    Wheels and eggs are named as installed distributions are, in lower case with hyphens.
    """
    bare = stem(file_name)
    lower = file_name.lower()
    if lower.endswith((".whl", ".egg")) and "-" in bare:
        name, version = bare.split("-")[:2]
        return re.sub(r"[-_.]+", "-", name).lower(), version
    if lower.endswith(".deb") and "_" in bare:
        name, version = bare.split("_")[:2]
        return name, unquote(version)
    if match := _VERSIONED.fullmatch(bare):
        return match["name"], match["version"]
    return bare, ""
