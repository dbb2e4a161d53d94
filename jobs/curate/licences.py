"""The licence policy: which SPDX expressions allow training, as algebra over their terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from license_expression import ExpressionError, LicenseWithExceptionSymbol, get_spdx_licensing

PERMISSIVE = (
    "0BSD",
    "AFL-3.0",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-2.0",
    "BlueOak-1.0.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-2-Clause-Views",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "BSD-3-Clause-LBNL",
    "BSD-Source-Code",
    "BSL-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "CNRI-Python",
    "curl",
    "ECL-2.0",
    "FTL",
    "HPND",
    "ICU",
    "ISC",
    "JSON",
    "libpng-2.0",
    "Libpng",
    "LicenseRef-public-domain",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MIT-Modern-Variant",
    "MS-PL",
    "MulanPSL-2.0",
    "NCSA",
    "NIST-PD",
    "NTP",
    "OLDAP-2.8",
    "OpenSSL",
    "PHP-3.01",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "Python-2.0.1",
    "Ruby",
    "TCL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "UPL-1.0",
    "Vim",
    "W3C",
    "WTFPL",
    "X11",
    "Xnet",
    "Zlib",
    "ZPL-2.1",
)
"""Licences without copyleft (Blue Oak Council's list is the model; ours). Weak copyleft such as
MPL-2.0, EPL-2.0 and LGPL is not in it; a recipe may add it."""

UNKNOWN = frozenset({"", "NOASSERTION"})


@lru_cache(maxsize=1)
def _spdx() -> Any:
    return get_spdx_licensing()


def check_names(names: Iterable[str]) -> None:
    """Raises ``ValueError`` for a name or glob that is no SPDX licence: a list with a misspelt name
    would allow or deny nothing, without a word.
    """
    known = {str(name).lower(): str(name) for name in _spdx().known_symbols}
    for name in names:
        plain = name.lower().partition(" with ")[0].strip()
        if plain.startswith("licenseref-") or any(fnmatchcase(key, plain) for key in known):
            continue
        near = _current_name(plain) or get_close_matches(plain, known, n=1, cutoff=0.5)
        hint = f"the nearest is {known[near[0]]}" if near else "see spdx.org/licenses"
        raise ValueError(f"{name!r} matches no SPDX licence ({hint})")


def _current_name(name: str) -> list[str]:
    """What a name that SPDX has retired is now: GPL-2.0 became GPL-2.0-only."""
    try:
        parsed = _spdx().parse(name)
        return [] if _spdx().unknown_license_keys(parsed) else [str(parsed.render()).lower()]
    except (ExpressionError, ValueError, AttributeError, TypeError):
        return []


class LicencePolicy:
    """Says whether an SPDX expression is allowed. Names may be globs (``GPL-*``), in any case."""

    def __init__(
        self, allowed: Sequence[str], denied: Sequence[str] = (), *, keep_unknown: bool
    ) -> None:
        self._allowed = _Names(allowed)
        self._denied = _Names(denied)
        self._keep_unknown = keep_unknown
        self._known: dict[str, str] = {}

    def allows(self, expression: str) -> bool:
        """Whether what ``expression`` says allows training, under this policy.

        OR is a choice: one allowed branch is enough. AND needs all. A licence that is both allowed
        and denied is denied; a denied branch of a choice is not taken, another may be. An exception
        only adds permissions (SPDX), so ``X WITH E`` is allowed where X is, or where the policy
        lists ``X WITH E`` itself, and denied where either is. Nothing known (empty,
        ``NOASSERTION``, not SPDX) is a case of its own.
        """
        return not self.objection(expression)

    def objection(self, expression: str) -> str:
        """Why ``expression`` is not allowed, for the ledger; empty if it is."""
        if expression not in self._known:
            self._known[expression] = self._decide(expression)
        return self._known[expression]

    def _decide(self, expression: str) -> str:
        if expression in UNKNOWN:
            return "" if self._keep_unknown else expression or "unknown"
        try:
            parsed = _spdx().parse(expression)
            if self._holds(parsed):
                return ""
            denials = [
                self._denial(term) for term in _spdx().license_symbols(parsed, decompose=False)
            ]
        except (ExpressionError, ValueError, AttributeError, TypeError):
            return "" if self._keep_unknown else expression
        told = ", ".join(filter(None, denials))
        return f"{expression}; denied: {told}" if told else expression

    def _holds(self, term: Any) -> bool:
        if isinstance(term, _spdx().OR):
            return any(self._holds(part) for part in term.args)
        if isinstance(term, _spdx().AND):
            return all(self._holds(part) for part in term.args)
        if self._denial(term):
            return False
        if str(term) in UNKNOWN:
            return self._keep_unknown
        return any(self._allowed.find(name) for name in _names_of(term))

    def _denial(self, term: Any) -> str:
        for name in _names_of(term):
            if pattern := self._denied.find(name):
                return name if pattern == name.lower() else f"{name} by {pattern}"
        return ""


class _Names:
    """Names and globs; asked by the name of a licence."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name.lower() for name in names}
        self._globs = {name.lower(): name for name in names if "*" in name}

    def find(self, name: str) -> str:
        """The entry that matches ``name``, or empty."""
        low = name.lower()
        if low in self._exact:
            return low
        return next((shown for glob, shown in self._globs.items() if fnmatchcase(low, glob)), "")


def _names_of(term: Any) -> list[str]:
    """``X WITH E`` and X; a plain licence's own name."""
    bare = [term.license_symbol] if isinstance(term, LicenseWithExceptionSymbol) else []
    return [str(part.render()) for part in (term, *bare)]
