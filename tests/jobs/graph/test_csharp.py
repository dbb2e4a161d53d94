"""Usings of C#."""

from __future__ import annotations

from typing import Any

BUS = {
    "src/Bus.cs": "namespace Acme.Bus\n{\n    public class Bus { public void Send() {} }\n}\n",
    "src/Message.cs": "namespace Acme.Bus;\n\npublic record Message(string Text);\n",
    "src/Text.cs": """\
        namespace Acme.Text;

        public static class Text { public static string Shout(this string s) => s; }
        """,
}


def test_a_using_means_the_files_of_the_namespace_that_define_what_is_used(resolve: Any) -> None:
    found = resolve(
        {
            **BUS,
            "app/App.cs": """\
                using System;
                using System.Collections.Generic;
                using Acme.Bus;
                using Acme.Text;

                namespace Acme.App
                {
                    class App
                    {
                        List<Message> all = new();
                        string F() => "x".Shout();
                    }
                }
                """,
        }
    )
    assert found.of("app/App.cs") == {
        "Acme.Bus": {"src/Message.cs": 1.0},
        "Acme.Text": {"src/Text.cs": 1.0},
    }
    assert found.graph.counts["C#"].imports == 4
    assert found.graph.counts["C#"].in_repository == 2


def test_static_usings_aliases_and_usings_within_a_namespace(resolve: Any) -> None:
    found = resolve(
        {
            **BUS,
            "app/App.cs": """\
                global using static Acme.Text.Text;
                using Post = Acme.Bus.Message;
                using Names = System.Collections.Generic.List<string>;

                namespace Acme.App
                {
                    using global::Acme.Bus;
                    class App { Bus bus; void F() { using var x = Open(); } }
                }
                """,
        }
    )
    assert found.of("app/App.cs") == {
        "Acme.Text.Text": {"src/Text.cs": 1.0},
        "Acme.Bus.Message": {"src/Message.cs": 1.0},
        "Acme.Bus": {"src/Bus.cs": 1.0},
    }
    assert found.graph.counts["C#"].imports == 4


def test_a_file_with_several_and_nested_namespaces(resolve: Any) -> None:
    found = resolve(
        {
            "src/All.cs": """\
                namespace Acme { namespace Deep { class Inner {} } }
                namespace Acme.Other { class Outer {} }
                """,
            "app/App.cs": """\
                using Acme.Deep;
                using Acme.Other;
                class App { Inner a; Outer b; }
                """,
        }
    )
    assert found.of("app/App.cs") == {
        "Acme.Deep": {"src/All.cs": 1.0},
        "Acme.Other": {"src/All.cs": 1.0},
    }


def test_a_large_namespace_of_which_nothing_is_used_keeps_thin_edges(resolve: Any) -> None:
    many = {f"src/C{i:02}.cs": f"namespace Acme.Big;\nclass C{i:02} {{}}\n" for i in range(20)}
    found = resolve({**many, "app/App.cs": "using Acme.Big;\nclass App {}\n"})
    assert set(found.of("app/App.cs")["Acme.Big"].values()) == {0.062}
    assert len(found.of("app/App.cs")["Acme.Big"]) == 8
