import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.licences import PERMISSIVE, LicencePolicy
from treespan.platform.config import build
from treespan.platform.errors import UserError

POLICY = LicencePolicy(PERMISSIVE, keep_unknown=False)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("mit", True),
        ("GPL-3.0-only", False),
        ("MPL-2.0", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND Apache-2.0", True),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("(MIT AND GPL-2.0-only) OR LGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("LicenseRef-public-domain", True),
        ("LicenseRef-ours", False),
        ("", False),
        ("NOASSERTION", False),
        ("(((", False),
    ],
)
def test_policy(expression: str, allowed: bool) -> None:
    assert POLICY.allows(expression) is allowed


def test_unknown_may_be_kept() -> None:
    policy = LicencePolicy(PERMISSIVE, keep_unknown=True)
    assert policy.allows("")
    assert policy.allows("NOASSERTION")
    assert not policy.allows("GPL-2.0-only")


def test_an_exception_may_be_allowed_by_itself() -> None:
    name = "GPL-2.0-only WITH Classpath-exception-2.0"
    assert LicencePolicy((name,), keep_unknown=False).allows(name)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, bool]:
    """An expression and whether the policy allows it, by the truth table."""
    if depth == 0 or draw(st.booleans()):
        name = draw(st.sampled_from(["MIT", "ISC", "GPL-3.0-only", "MPL-2.0"]))
        return name, name in {"MIT", "ISC"}
    (left, left_holds), (right, right_holds) = (draw(expressions(depth - 1)) for _ in range(2))
    if draw(st.booleans()):
        return f"({left} OR {right})", left_holds or right_holds
    return f"({left} AND {right})", left_holds and right_holds


@given(expressions())
def test_the_algebra(case: tuple[str, bool]) -> None:
    assert POLICY.allows(case[0]) is case[1]


DENYING = LicencePolicy((*PERMISSIVE, "MPL-2.0"), ("GPL-*", "AGPL-*", "JSON"), keep_unknown=True)


@pytest.mark.parametrize(
    ("expression", "objection"),
    [
        ("MIT", ""),
        ("JSON", "JSON; denied: JSON"),  # allowed too: deny wins
        ("LGPL-3.0-only", "LGPL-3.0-only"),  # neither: a glob matches whole names
        ("MIT OR GPL-3.0-only", ""),  # the choice is made
        ("JSON OR GPL-3.0-only", "JSON OR GPL-3.0-only; denied: JSON, GPL-3.0-only by GPL-*"),
        ("MIT AND GPL-2.0-or-later", "MIT AND GPL-2.0-or-later; denied: GPL-2.0-or-later by GPL-*"),
        ("(MIT OR JSON) AND MPL-2.0", ""),
        (
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "GPL-2.0-only WITH Classpath-exception-2.0; denied: "
            + "GPL-2.0-only WITH Classpath-exception-2.0 by GPL-*",
        ),
        ("", ""),
        ("NOASSERTION", ""),
        (
            "NOASSERTION AND GPL-2.0-only",
            "NOASSERTION AND GPL-2.0-only; denied: GPL-2.0-only by GPL-*",
        ),
    ],
)
def test_denied_licences(expression: str, objection: str) -> None:
    assert DENYING.objection(expression) == objection


@given(expressions())
def test_denying_never_allows_more(case: tuple[str, bool]) -> None:
    denying = LicencePolicy(PERMISSIVE, ("ISC",), keep_unknown=False)
    without = LicencePolicy([n for n in PERMISSIVE if n != "ISC"], keep_unknown=False)
    assert denying.allows(case[0]) is without.allows(case[0])
    assert not denying.allows(case[0]) or case[1]


def test_everything_but_the_denied_may_be_allowed() -> None:
    policy = LicencePolicy(("*",), ("*GPL-*",), keep_unknown=False)
    assert policy.allows("MPL-2.0")
    assert policy.allows("LicenseRef-ours")
    assert not policy.allows("LGPL-2.1-only")
    assert not policy.allows("")


def test_misspelt_licences_are_refused_with_the_nearest() -> None:
    for field in ("licences", "add_licences", "deny_licences"):
        with pytest.raises(UserError, match=r"'Apache-2' matches no .*nearest is Apache-2\.0"):
            build(CurateConfig, {field: ["MIT", "Apache-2"]}, where="r.yaml")
    names = ["LicenseRef-ours", "bsd-*", "GPL-2.0-only WITH Classpath-exception-2.0"]
    build(CurateConfig, {"deny_licences": names}, where="r.yaml")
    with pytest.raises(UserError, match=r"'GPL-2.0' matches no .*nearest is GPL-2.0-only"):
        build(CurateConfig, {"deny_licences": ["GPL-2.0"]}, where="r.yaml")
    with pytest.raises(UserError, match=r"'XPL-\*' matches no SPDX licence"):
        build(CurateConfig, {"deny_licences": ["XPL-*"]}, where="r.yaml")
