"""Requires of Ruby."""

from __future__ import annotations

from typing import Any


def test_required_paths_from_lib_the_root_and_the_file(resolve: Any) -> None:
    found = resolve(
        {
            "lib/acme.rb": """\
                require "json"
                require 'acme/store'
                require_relative "acme/version"
                module Acme
                  autoload :Cache, "acme/cache"
                  require File.expand_path("acme/late", __dir__)
                  require "acme/#{name}"
                end
                """,
            "lib/acme/store.rb": "require_relative '../acme/version.rb'\nclass Store; end\n",
            "lib/acme/version.rb": "VERSION = '1'\n",
            "lib/acme/cache.rb": "class Cache; end\n",
            "lib/acme/late.rb": "class Late; end\n",
            "test/test_store.rb": "require 'helper'\nrequire './lib/acme'\nload 'lib/acme.rb'\n",
            "test/helper.rb": "$LOAD_PATH << 'lib'\nrequire 'acme'\n",
            "gems/other/lib/acme/store.rb": "class Copy; end\n",
        }
    )
    assert found.of("lib/acme.rb") == {
        "acme/store": {"lib/acme/store.rb": 0.7},
        "acme/version": {"lib/acme/version.rb": 1.0},
        "acme/cache": {"lib/acme/cache.rb": 1.0},
        "acme/late": {"lib/acme/late.rb": 1.0},
    }
    assert found.of("lib/acme/store.rb") == {"../acme/version.rb": {"lib/acme/version.rb": 1.0}}
    assert found.of("test/test_store.rb") == {
        "helper": {"test/helper.rb": 1.0},
        "./lib/acme": {"lib/acme.rb": 1.0},
        "lib/acme.rb": {"lib/acme.rb": 1.0},
    }
    assert found.of("test/helper.rb") == {"acme": {"lib/acme.rb": 1.0}}
    assert found.unresolved == []


def test_a_folder_of_the_same_name_elsewhere_makes_no_import_the_repositorys(resolve: Any) -> None:
    found = resolve(
        {
            "lib/acme.rb": "require 'json/add/core'\nrequire 'acme/gone'\nrequire 'set'\n",
            "lib/acme/json/writer.rb": "class Writer; end\n",
            "lib/acme/set.rb": "class Set; end\n",
        }
    )
    assert found.of("lib/acme.rb") == {}
    assert found.unresolved == [("lib/acme.rb", "acme/gone")]
