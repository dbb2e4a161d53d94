"""Imports of Java, Kotlin and Scala."""

from __future__ import annotations

from typing import Any

LIBRARY = {
    "core/src/main/java/org/acme/Store.java": """\
        package org.acme;
        public class Store {
            public static final int LIMIT = 3;
            public static Store open(String path) { return new Store(); }
            public interface Listener { void changed(); }
            public enum Mode { READ, WRITE }
        }
        """,
    "core/src/main/java/org/acme/io/Reader.java": "package org.acme.io;\nclass Reader {}\n",
    "core/src/main/java/org/acme/io/Writer.java": "package org.acme.io;\nclass Writer {}\n",
    "core/src/main/java/org/acme/io/Codec.java": "package org.acme.io;\n@interface Codec {}\n",
}


def test_class_static_and_nested_imports_go_to_the_file_of_the_outer_class(resolve: Any) -> None:
    store = "core/src/main/java/org/acme/Store.java"
    main = """\
        package org.acme.app;
        import java.util.List;
        import org.acme.Store;
        import org.acme.Store.Listener;
        import static org.acme.Store.open;
        import static org.acme.Store.Mode.READ;
        import static org.acme.Store.*;
        class Main {}
        """
    found = resolve({**LIBRARY, "app/Main.java": main})
    assert found.of("app/Main.java") == {
        "org.acme.Store": {store: 1.0},
        "org.acme.Store.Listener": {store: 1.0},
        "org.acme.Store.open": {store: 1.0},
        "org.acme.Store.Mode.READ": {store: 1.0},
        "org.acme.Store.*": {store: 1.0},
    }
    assert found.graph.counts["Java"].imports == 6
    assert found.graph.counts["Java"].in_repository == 5


def test_wildcard_means_the_files_of_the_package_that_define_what_is_used(resolve: Any) -> None:
    folder = "core/src/main/java/org/acme/io"
    used = """\
        package org.acme.app;
        import org.acme.io.*;
        @Codec class Main { Reader reader; String text; }
        """
    unused = "package org.acme.app;\nimport org.acme.io.*;\nclass Other {}\n"
    found = resolve({**LIBRARY, "app/Main.java": used, "app/Other.java": unused})
    assert found.of("app/Main.java") == {
        "org.acme.io.*": {f"{folder}/Reader.java": 1.0, f"{folder}/Codec.java": 1.0}
    }
    assert found.of("app/Other.java")["org.acme.io.*"] == {
        f"{folder}/{name}.java": 0.167 for name in ("Reader", "Writer", "Codec")
    }


def test_of_two_copies_of_a_class_the_nearest_is_meant(resolve: Any) -> None:
    copy = "package org.acme;\npublic class Tool {}\n"
    user = "package org.acme.app;\nimport org.acme.Tool;\nclass Main {}\n"
    found = resolve(
        {"a/org/acme/Tool.java": copy, "b/org/acme/Tool.java": copy, "b/org/app/Main.java": user}
    )
    assert found.of("b/org/app/Main.java") == {"org.acme.Tool": {"b/org/acme/Tool.java": 0.7}}


def test_a_class_that_is_gone_is_unresolved_and_a_shared_prefix_is_not(resolve: Any) -> None:
    user = """\
        package org.acme.app;
        import org.acme.io.Generated;
        import org.acme.other.Library;
        import org.acme.io.missing.*;
        class Main {}
        """
    found = resolve({**LIBRARY, "app/Main.java": user})
    assert found.of("app/Main.java") == {}
    # The package org.acme.io is of this repository; org.acme.other may be another jar's.
    assert ("app/Main.java", "org.acme.io.Generated") in found.unresolved
    assert ("app/Main.java", "org.acme.other.Library") not in found.unresolved


def test_a_file_with_a_byte_order_mark_and_comments_in_its_imports(resolve: Any) -> None:
    user = (
        "\ufeffpackage org.acme.app; // x\nimport /* why */ org . acme . Store; // y\nclass M {}\n"
    )
    found = resolve({**LIBRARY, "app/M.java": user})
    assert list(found.of("app/M.java")) == ["org.acme.Store"]


def test_kotlin_imports_functions_aliases_and_java_classes(resolve: Any) -> None:
    kotlin = """\
        package org.acme.text

        fun shout(text: String) = text.uppercase()
        val QUIET = 1
        object Registry { fun add() {} }
        typealias Names = List<String>
        """
    user = """\
        package org.acme.app
        import org.acme.Store as Shop
        import org.acme.text.shout
        import org.acme.text.QUIET
        import org.acme.text.Names
        import org.acme.text.Registry.add
        import org.acme.text.*
        import kotlin.test.Test

        fun main() { println(shout("x")); Registry.add() }
        """
    found = resolve({**LIBRARY, "app/Text.kt": kotlin, "app/main.kt": user})
    text = {"app/Text.kt": 1.0}
    assert found.of("app/main.kt") == {
        "org.acme.Store": {"core/src/main/java/org/acme/Store.java": 1.0},
        "org.acme.text.shout": text,
        "org.acme.text.QUIET": text,
        "org.acme.text.Names": text,
        "org.acme.text.Registry.add": text,
        "org.acme.text.*": text,
    }
    assert found.unresolved == []


def test_scala_braces_renames_and_packages_above(resolve: Any) -> None:
    model = "package org.acme\npackage model\n\ncase class User(name: String)\nobject Role\n"
    user = """\
        package org.acme.web

        import org.acme.{Store, Other => _}
        import org.acme.model.{User => Person, _}
        import model.Role

        class Page(user: Person) { val role = Role }
        """
    model = "package org.acme.model\n\ncase class User(name: String)\nobject Role\n"
    found = resolve({**LIBRARY, "model/User.scala": model, "web/Page.scala": user})
    imports = found.of("web/Page.scala")
    assert imports["org.acme.Store"] == {"core/src/main/java/org/acme/Store.java": 1.0}
    assert imports["org.acme.model.User"] == {"model/User.scala": 1.0}
    assert imports["org.acme.model._"] == {"model/User.scala": 1.0}
    assert imports["model.Role"] == {"model/User.scala": 1.0}
