"""Imports of PHP."""

from __future__ import annotations

from typing import Any

SHOP = {
    "src/Cart/Cart.php": "<?php\nnamespace Acme\\Shop\\Cart;\nfinal class Cart {}\n",
    "src/Cart/Item.php": "<?php\nnamespace Acme\\Shop\\Cart;\ninterface Item {}\n",
    "src/functions.php": "<?php\nnamespace Acme\\Shop;\nconst TAX = 1;\nfunction price() {}\n",
}


def test_use_names_classes_functions_constants_groups_and_namespaces(resolve: Any) -> None:
    found = resolve(
        {
            **SHOP,
            "src/Page.php": """\
                <?php
                namespace Acme\\Web;

                use Acme\\Shop\\Cart\\{Cart, Item as Thing};
                use \\Acme\\Shop\\Cart\\Cart as Basket, Psr\\Log\\LoggerInterface;
                use function Acme\\Shop\\price;
                use const Acme\\Shop\\TAX;
                use Acme\\Shop\\Cart as C;
                use Exception;

                class Page { use Sings; function f(Thing $x) { new C\\Cart(); } }
                """,
        }
    )
    cart, item = {"src/Cart/Cart.php": 1.0}, {"src/Cart/Item.php": 1.0}
    functions = {"src/functions.php": 1.0}
    imports = found.of("src/Page.php")
    assert imports["Acme\\Shop\\Cart\\Cart"] == cart
    assert imports["Acme\\Shop\\Cart\\Item"] == item
    assert imports["Acme\\Shop\\price"] == functions
    assert imports["Acme\\Shop\\TAX"] == functions
    assert imports["Acme\\Shop\\Cart"] == cart
    assert found.graph.counts["PHP"].imports == 8
    assert found.graph.counts["PHP"].in_repository == 6
    assert found.unresolved == []


def test_a_composer_json_tells_where_a_class_lies_that_no_parse_found(resolve: Any) -> None:
    manifest = '{"autoload": {"psr-4": {"Acme\\\\Shop\\\\": ["lib/", "src"]}}}'
    broken = "<?php\n<<<<<<< HEAD\nclas"
    found = resolve(
        {
            **SHOP,
            "composer.json": manifest,
            "src/Cart/Total.php": broken,
            "src/Page.php": "<?php\nuse Acme\\Shop\\Cart\\Total;\nuse Acme\\Shop\\Cart\\Gone;\n",
        }
    )
    assert found.of("src/Page.php") == {"Acme\\Shop\\Cart\\Total": {"src/Cart/Total.php": 1.0}}
    assert found.unresolved == [("src/Page.php", "Acme\\Shop\\Cart\\Gone")]


def test_a_namespace_of_the_same_vendor_is_another_package(resolve: Any) -> None:
    found = resolve(
        {
            "src/A.php": "<?php\nnamespace Acme;\nclass A {}\n",
            "src/B.php": "<?php\nnamespace Acme;\nuse Acme\\Semver\\Parser;\nclass B {}\n",
        }
    )
    assert found.unresolved == []


def test_required_paths_are_joined_from_folders_and_strings(resolve: Any) -> None:
    found = resolve(
        {
            "public/index.php": """\
                <?php
                define('ROOT', dirname(__DIR__));
                const LIB = __DIR__ . '/../lib';
                require __DIR__ . '/../lib/boot.php';
                require_once(dirname(__FILE__, 2) . "/lib/boot.php");
                include ROOT . '/lib/' . 'view.php';
                include LIB . '/view.php';
                include_once 'local.php';
                require APP_PATH . '/lib/boot.php';
                require $dynamic . '.php';
                require __DIR__ . '/../vendor/autoload.php';
                require __DIR__ . '/../lib/gone.php';
                """,
            "public/local.php": "<?php\n",
            "lib/boot.php": "<?php\n",
            "lib/view.php": "<?php\n",
        }
    )
    imports = found.of("public/index.php")
    assert {target for weights in imports.values() for target in weights} == {
        "lib/boot.php",
        "lib/view.php",
        "public/local.php",
    }
    assert imports["__DIR__ . '/../lib/boot.php'"] == {"lib/boot.php": 1.0}
    assert imports["ROOT . '/lib/' . 'view.php'"] == {"lib/view.php": 1.0}
    assert imports["LIB . '/view.php'"] == {"lib/view.php": 1.0}
    # What stands before the string is unknown, so the end of the path has to do.
    assert imports["APP_PATH . '/lib/boot.php'"] == {"lib/boot.php": 0.7}
    assert found.unresolved == [("public/index.php", "__DIR__ . '/../lib/gone.php'")]


def test_several_namespaces_in_a_file(resolve: Any) -> None:
    found = resolve(
        {
            "a.php": "<?php\nnamespace A { class X {} }\nnamespace B { class Y {} }\n",
            "b.php": "<?php\nuse A\\X;\nuse B\\Y;\n",
        }
    )
    assert found.of("b.php") == {"A\\X": {"a.php": 1.0}, "B\\Y": {"a.php": 1.0}}
