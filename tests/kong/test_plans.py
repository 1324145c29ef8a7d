"""The plugin that keeps Kong's plans and tells of a worker's end, in LuaJIT, with a stand-in for the library of Kong's Wasm module."""

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
configured, timers, loads = {}, {}, {}
local every = function(time, callback)
  timers[#timers + 1] = callback
  return not no_timers, no_timers
end
ngx = { ERR = 4, WARN = 5, config = { subsystem = "http" }, log = function() warnings = warnings + 1 end, timer = { every = every } }
package.preload["resty.wasmx.proxy_wasm"] = function()
  return {
    new = function(filters)
      if #filters == 0 then
        return nil, "no filters"
      end
      configured[#configured + 1] = filters[1].config
      return ffi.gc(ffi.new("int[1]", #filters), function() freed = freed + 1 end)
    end,
    load = function(plan)
      loads[#loads + 1] = plan
      return not no_load, no_load
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

-- As Kong starts a worker with a filter of this name, and ends it.
function live_and_end(name)
  load_plugin():init_worker()
  require("resty.wasmx.proxy_wasm").new({ { name = name, config = "a configuration" } })
  for _, premature in ipairs({ false, true }) do
    for _, callback in ipairs(timers) do
      callback(premature)
    end
  end
  return table.concat(configured, ", ")
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
    assert (handler.PRIORITY, handler.VERSION, handler.init_worker, host.warnings) == (1, "1.1.0", None, 0)


def test_filters_are_told_once_that_their_worker_ends() -> None:
    host = kong()
    assert host.live_and_end("retrohook") == "a configuration, retrohook: the worker ends"
    assert (len(host.loads), host.warnings) == (1, 0)
    word = 'const WORKER_ENDS: &[u8] = b"retrohook: the worker ends";'
    assert word in (PROJECT / "src" / "filter" / "root.rs").read_text()


def test_where_the_filter_is_not_there_nobody_is_told() -> None:
    assert kong().live_and_end("other") == "a configuration"


def test_kongs_own_timers_are_passed_over() -> None:
    host = kong()
    host.load("native_timer_every, ngx.timer.every = ngx.timer.every, error")()
    assert host.live_and_end("retrohook") == "a configuration, retrohook: the worker ends"


@pytest.mark.parametrize("fault", ["no_timers", "no_load"])
def test_a_worker_that_cannot_be_told_of_its_end_says_so(fault: str) -> None:
    host = kong()
    host.load(f"{fault} = 'a reason'")()
    host.live_and_end("retrohook")
    assert host.warnings == 1


def test_the_settings_load_it_from_where_the_documentation_puts_it() -> None:
    assert settings()["plugins"] == "bundled,retrohook-plans"
    folder = settings()["lua_package_path"].split(";")[0].removesuffix("/?.lua")
    assert f"cp -r kong/lua/kong {folder}/" in (PROJECT / "docs" / "kong.md").read_text()
    assert f"COPY kong/lua/ {folder}/" in (PROJECT / "kong" / "Dockerfile").read_text()
    schema = LuaRuntime().execute((LUA / "kong" / "plugins" / "retrohook-plans" / "schema.lua").read_text())
    assert schema.name == "retrohook-plans"
    assert [Path(name).name for name in sorted(map(str, LUA.rglob("*.lua")))] == ["handler.lua", "schema.lua"]
