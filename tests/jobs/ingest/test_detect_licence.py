import time

import pytest

from treespan.jobs.ingest.detect_licence import (
    NO_ASSERTION,
    is_licence_file,
    joined,
    licence_of_file,
    normalise,
    normalise_given,
)
from treespan.platform.errors import UserError

GPL_HEADER = """\
# This program is free software: you can redistribute it and/or modify
# it under the terms of the GNU General Public License as published by
# the Free Software Foundation, either version 3 of the License, or
# (at your option) any later version.
#
# This program is distributed in the hope that it will be useful,
# but WITHOUT ANY WARRANTY; without even the implied warranty of
# MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
# GNU General Public License for more details.
x = 1
"""


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("mit", "MIT"),
        ("MIT or GPL-2.0", "MIT OR GPL-2.0-only"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("MIT AND MIT", "MIT"),
        ("LicenseRef-ours", "LicenseRef-ours"),
        ("BSD", ""),
        ("whatever you like (really", ""),
        ("", ""),
        ("()", ""),
        ("(((MIT", ""),
        ("(" * 4000, ""),
    ],
)
def test_normalise(text: str, expression: str) -> None:
    assert normalise(text) == expression


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("// SPDX-License-Identifier: MIT\nint x;", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0 OR MIT */\n", "GPL-2.0-only OR MIT"),
        ("<!-- SPDX-License-Identifier: Apache-2.0 -->", "Apache-2.0"),
        ("# SPDX-License-Identifier: our own\n", NO_ASSERTION),
        (GPL_HEADER, "GPL-3.0-or-later"),
        ("# mentions the GNU General Public License in passing\nx = 1\n", ""),
        ("x = 1\n", ""),
        ("\n" * 5000 + "# SPDX-License-Identifier: MIT\n", ""),
    ],
)
def test_licence_of_file(text: str, expression: str) -> None:
    assert licence_of_file(text) == expression


def test_several_licences_hold_together() -> None:
    assert joined(["MIT", "", "Apache-2.0", "MIT"]) == "Apache-2.0 AND MIT"
    assert joined(["MIT OR ISC", "Zlib"]) == "(MIT OR ISC) AND Zlib"
    assert joined([]) == ""


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.md", "COPYING", "LICENSE-MIT", "UNLICENSE"])
def test_licence_file_names(name: str) -> None:
    assert is_licence_file(name)
    assert not is_licence_file("licenses.py" if name == "LICENSE" else f"my{name}.py")


def test_a_wrong_licence_in_the_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="not an SPDX expression"):
        normalise_given("do what you like")


TAG = "# SPDX-License-Identifier: "


@pytest.mark.parametrize(
    "text",
    [
        TAG + "(" * 4000,
        TAG + "(" * 1900 + "MIT" + ")" * 1900,
        TAG + "x" + " " * 4000 + "y",
        TAG + "MIT OR " * 500 + "MIT",
        TAG + " OR ".join(f"(LicenseRef-{n} AND LicenseRef-{n + 1})" for n in range(90)),
        (TAG + "LicenseRef-a\n") * 100,
        "General Public License " * 200,
        " " * 4096,
    ],
)
def test_no_text_keeps_the_detection_busy(text: str) -> None:
    started = time.process_time()
    licence_of_file(text + "\n" + "x" * 1_000_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["licen" * 200_000, "licence-" * 120_000, ".licens" * 140_000])
def test_no_name_keeps_the_detection_busy(name: str) -> None:
    started = time.process_time()
    is_licence_file(name)
    assert time.process_time() - started < 5
