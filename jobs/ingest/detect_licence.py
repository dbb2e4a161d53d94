"""Which licence a text states: SPDX tags, licence texts and headers, as normalised expressions.

Several licences found together are joined with AND. A choice ("either of the two") cannot be told
from a list by texts alone, and AND is the reading under which nothing is used against its terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from licenseclassifier import identify_license

from treespan.jobs.ingest.repository import Entry, text_of
from treespan.platform.errors import UserError

NO_ASSERTION = "NOASSERTION"
"""SPDX's word for: something is stated that cannot be read as a licence."""

HEADER_CHARACTERS = 4096
"""Licence headers and tags stand within the first lines (ours)."""

MAX_LICENCE_BYTES = 200_000
"""A longer file with a licence's name is a collection, not a licence."""

_LICENCE_FILE = re.compile(
    r"(un)?licen[cs]e([-_.].*)?|copying([-_.].*)?|notice([-_.](md|rst|txt))?|.*\.licen[cs]e",
    re.IGNORECASE,
)
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\r\n]+)")
_TAG_END = re.compile(r"(\*/|-->|\*\)|#\}|%>|\"\"\"|''').*$")
# Only headers that name such a licence in full are worth the classifier's milliseconds: the
# permissive licences do not change what may be done with a file.
_HEADER_HINT = re.compile(
    r"General Public License|Mozilla Public License|Eclipse Public License|European Union Public"
)

ALIASES = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "2-clause bsd license": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "isc license": "ISC",
    "lgplv3": "LGPL-3.0-only",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mpl 2.0": "MPL-2.0",
    "psf": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "unlicense": "Unlicense",
    "public domain": "LicenseRef-public-domain",
}
"""How people write licences where SPDX was not asked for, in lower case. "BSD" alone is missing on
purpose: it does not say which."""


@lru_cache(maxsize=1)
def licensing() -> Any:
    """The SPDX licences and exceptions; built once per process."""
    return get_spdx_licensing()


@lru_cache(maxsize=10_000)
def normalise(text: str) -> str:
    """``text`` as an SPDX expression (``mit or gpl-2.0`` is ``MIT OR GPL-2.0-only``).

    Empty if it is none, or names a licence that SPDX does not know (``LicenseRef-`` names pass).
    """
    text = text.strip()
    text = ALIASES.get(text.lower().rstrip("."), text)
    if not text:
        return ""
    try:
        parsed = licensing().parse(text)
        unknown = licensing().unknown_license_keys(parsed)
        if any(not str(key).startswith("LicenseRef-") for key in unknown):
            return ""
        return str(licensing().dedup(parsed).render())
    except (ExpressionError, ValueError, AttributeError, TypeError, LookupError, RecursionError):
        # The parser's own errors derive from several of these, depending on where it stumbles.
        return ""


def normalise_given(text: str | None) -> str:
    """A licence from the recipe. Raises ``UserError`` if it is not an SPDX expression."""
    if text is None:
        return ""
    expression = normalise(text)
    if not expression:
        raise UserError(
            f"licence {text!r} is not an SPDX expression.",
            "Write for example MIT, Apache-2.0 OR MIT, or LicenseRef-our-own.",
        )
    return expression


def joined(expressions: Iterable[str]) -> str:
    """All of ``expressions``, with AND; sorted and without repeats. Empty for none."""
    parts = sorted({expression for expression in expressions if expression})
    if len(parts) < 2:
        return "".join(parts)
    wrapped = [f"({part})" if " " in part else part for part in parts]
    return normalise(" AND ".join(wrapped))


def identify(text: str, coverage: float = 75.0) -> list[str]:
    """SPDX names of the licence texts in ``text``, in order, if they are ``coverage`` % of it."""
    found = identify_license(text, coverage) if text else []
    return list(dict.fromkeys(str(region.id) for region in found))


def is_licence_file(name: str) -> bool:
    """Whether a file of this name holds a licence: LICENSE, COPYING.txt, LICENCE-MIT, NOTICE."""
    return _LICENCE_FILE.fullmatch(name) is not None


def licence_of_entries(entries: Sequence[Entry]) -> str:
    """The repository's licence, from the licence files at its root; empty when there is none."""
    found: list[str] = []
    for entry in sorted(entries, key=lambda entry: entry.path):
        small = entry.size is None or entry.size <= MAX_LICENCE_BYTES
        if "/" not in entry.path and not entry.skip and small and is_licence_file(entry.path):
            text = text_of(entry)
            found.append(tagged_licence(text) or joined(identify(text)))
    return joined(found)


def tagged_licence(text: str) -> str:
    """What the SPDX tags in the first lines state; ``NOASSERTION`` if they cannot be read."""
    tags = _TAG.findall(text[:HEADER_CHARACTERS])
    stated = [normalise(_TAG_END.sub("", tag)) for tag in tags]
    if tags and not all(stated):
        return NO_ASSERTION
    return joined(stated)


def licence_of_file(text: str) -> str:
    """The licence that a source file states for itself: SPDX tags, else a copyleft header.

    Empty if it states none, so that the repository's licence holds.
    """
    head = text[:HEADER_CHARACTERS]
    tagged = tagged_licence(head)
    # All hints hold this word, and it is found ten times as fast.
    if tagged or "Public" not in head or not _HEADER_HINT.search(head):
        return tagged
    return joined(identify(head, coverage=0.0))
