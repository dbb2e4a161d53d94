"""The licence policy: which SPDX expressions allow training, as algebra over their terms."""

from __future__ import annotations

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


class LicencePolicy:
    """Says whether an SPDX expression is allowed."""

    def __init__(self, allowed: tuple[str, ...], *, keep_unknown: bool) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)
        self._keep_unknown = keep_unknown
        self._licensing = get_spdx_licensing()
        self._known: dict[str, bool] = {}

    def allows(self, expression: str) -> bool:
        """Whether what ``expression`` says allows training, under this policy.

        OR is a choice: one allowed branch is enough. AND needs all. An exception only adds
        permissions (SPDX), so ``X WITH E`` is allowed where X is, or where the policy lists
        ``X WITH E`` itself. Nothing known (empty, ``NOASSERTION``, not SPDX) is a case of its own.
        """
        if expression not in self._known:
            self._known[expression] = self._decide(expression)
        return self._known[expression]

    def _decide(self, expression: str) -> bool:
        if expression in UNKNOWN:
            return self._keep_unknown
        try:
            return self._holds(self._licensing.parse(expression))
        except (ExpressionError, ValueError, AttributeError, TypeError):
            return self._keep_unknown

    def _holds(self, term: Any) -> bool:
        if isinstance(term, self._licensing.OR):
            return any(self._holds(part) for part in term.args)
        if isinstance(term, self._licensing.AND):
            return all(self._holds(part) for part in term.args)
        if isinstance(term, LicenseWithExceptionSymbol):
            return self._listed(term) or self._listed(term.license_symbol)
        if str(term) in UNKNOWN:
            return self._keep_unknown
        return self._listed(term)

    def _listed(self, term: Any) -> bool:
        return str(term.render()).lower() in self._allowed
