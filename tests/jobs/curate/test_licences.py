import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.curate.licences import PERMISSIVE, LicencePolicy

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
