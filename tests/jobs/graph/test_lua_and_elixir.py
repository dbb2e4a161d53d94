"""Requires of Lua, mentions of modules in Elixir, and loaded scripts of Ruby."""

from __future__ import annotations

from typing import Any


def test_lua_modules_are_dotted_paths_below_any_folder(resolve: Any) -> None:
    found = resolve(
        {
            "src/rocks/init.lua": "local dir = require('rocks.dir')\nreturn {}\n",
            "src/rocks/dir.lua": 'local rocks = require "rocks"\nlocal x = require("lfs")\n',
            "spec/dir_spec.lua": "local gone = require('rocks.gone')\n",
        }
    )
    assert found.of("src/rocks/init.lua") == {"rocks.dir": {"src/rocks/dir.lua": 1.0}}
    assert found.of("src/rocks/dir.lua") == {"rocks": {"src/rocks/init.lua": 1.0}}
    assert found.unresolved == [("spec/dir_spec.lua", "rocks.gone")]


def test_elixir_modules_within_modules_and_lists_of_them(resolve: Any) -> None:
    found = resolve(
        {
            "lib/acme.ex": "defmodule Acme do\n  defmodule Test do\n  end\nend\n",
            "lib/acme/store.ex": "defmodule Acme.Store do\n  def get(x), do: x\nend\n",
            "lib/acme/web.ex": """\
                defmodule Acme.Web do
                  use GenServer
                  alias Acme.{Store, Test}
                  import Elixir.Acme.Store, only: [get: 1]
                end
                """,
        }
    )
    assert found.of("lib/acme/web.ex") == {
        "Acme.Store": {"lib/acme/store.ex": 1.0},
        "Acme.Test": {"lib/acme.ex": 1.0},
    }
    assert found.unresolved == []


def test_ruby_loads_a_script_without_an_ending(resolve: Any) -> None:
    found = resolve(
        {
            "bin/tool-profile": "#!/usr/bin/env ruby\nload File.dirname(__FILE__) + '/../exe/tool'\n",
            "exe/tool": "#!/usr/bin/env ruby\nputs 1\n",
        }
    )
    assert found.of("bin/tool-profile") == {"/../exe/tool": {"exe/tool": 1.0}}
