"""The plugin that keeps Kong's plans, in LuaJIT, with a stand-in for the library of Kong's Wasm module."""

from pathlib import Path
from typing import Any

import pytest
from lupa.luajit21 import LuaRuntime

from rig import PROJECT

from .test_shipped_files import settings

LUA = PROJECT / "kong" / "lua"

# A plan is memory of C's with a finalizer, as Kong's Wasm module makes it; and Kong drops it when a chain is changed.
KONG = """
package.path = ...
local ffi = require "ffi"
freed, warnings = 0, 0
ngx = { WARN = 5, config = { subsystem = "http" }, log = function() warnings = warnings + 1 end }
package.preload["resty.wasmx.proxy_wasm"] = function()
  return {
    new = function(filters)
      if #filters == 0 then
        return nil, "no filters"
      end
      return ffi.gc(ffi.new("int[1]", #filters), function() freed = freed + 1 end)
    end,
  }
end

function load_plugin()
  return require "kong.plugins.retrohook-plans.handler"
end

function make_and_drop(count)
  for i = 1, count do
    local plan = require("resty.wasmx.proxy_wasm").new({ "retrohook" })
    assert(plan[0] == 1)
  end
  collectgarbage()
  collectgarbage()
  return freed
end

function new(...)
  return require("resty.wasmx.proxy_wasm").new({ ... })
end
"""


def kong(package_path: str = f"{LUA}/?.lua") -> Any:
    runtime = LuaRuntime(unpack_returned_tuples=True)
    runtime.execute(KONG, package_path)
    return runtime.globals()


def test_no_plan_is_freed_once_the_plugin_is_loaded() -> None:
    without = kong()
    assert without.make_and_drop(100) >= 99, "what the plugin is there for"
    with_plugin = kong()
    with_plugin.load_plugin()
    assert with_plugin.make_and_drop(100) == 0
    assert with_plugin.warnings == 0


def test_kong_gets_what_it_would_get_without_the_plugin() -> None:
    for plugin in (False, True):
        host = kong()
        if plugin:
            host.load_plugin()
        assert host.new() == (None, "no filters")
        assert host.new("retrohook") is not None


@pytest.mark.parametrize("absent", ["error('module not found')", "return true"])
def test_a_kong_without_filters_starts_with_a_warning(absent: str) -> None:
    host = kong()
    host.load(f'package.preload["resty.wasmx.proxy_wasm"] = function() {absent} end')()
    assert host.load_plugin()
    assert host.warnings == 1


@pytest.mark.parametrize("where", ["ngx.IS_CLI = true", "ngx.config.subsystem = 'stream'"])
def test_what_runs_no_filters_loads_it_and_asks_for_none(where: str) -> None:
    host = kong()
    host.load(where)()
    host.load('package.preload["resty.wasmx.proxy_wasm"] = function() error("there are none") end')()
    handler = host.load_plugin()
    assert (handler.PRIORITY, handler.VERSION, host.warnings) == (1, "1.0.0", 0)


def test_the_settings_load_it_from_where_the_documentation_puts_it() -> None:
    assert settings()["plugins"] == "bundled,retrohook-plans"
    folder = settings()["lua_package_path"].split(";")[0].removesuffix("/?.lua")
    assert f"cp -r kong/lua/kong {folder}/" in (PROJECT / "docs" / "kong.md").read_text()
    assert f"COPY kong/lua/ {folder}/" in (PROJECT / "kong" / "Dockerfile").read_text()
    schema = LuaRuntime().execute((LUA / "kong" / "plugins" / "retrohook-plans" / "schema.lua").read_text())
    assert schema.name == "retrohook-plans"
    assert [Path(name).name for name in sorted(map(str, LUA.rglob("*.lua")))] == ["handler.lua", "schema.lua"]
