-- Keeps every plan that Kong makes of a filter chain, so that a change of the configuration takes nothing from a filter; and tells
-- Retrohook when its worker ends, so that it writes dead letters of what it has not delivered.
--
-- When Lua's garbage collector frees the plan of a chain that was changed or removed, ngx_wasm_module ends the instances of all
-- filters in the worker: what they have queued is lost, and a call or a request that they hold crashes the worker. So no plan is
-- freed here. A filter of a kept plan sends what it has queued and then does nothing. It is enough that Kong loads the plugin; no
-- service needs to have it.
--
-- A worker that ends gives its filters no ticks any more, and no callback of theirs says so. Lua's timers end early then, and a
-- filter can be configured still: Retrohook takes the text below for that word, and makes no filter of it.
local Plans = {
  PRIORITY = 1,
  VERSION = "1.1.0",
}

local FILTER = "retrohook"
local WORKER_ENDS = "retrohook: the worker ends"

-- A time that is not to be waited for.
local HOUR = 3600

local kept = {}
local runs_filter = false

-- Kong's command line loads plugins, too, and so does its proxy for TCP. Neither runs filters.
if not ngx.IS_CLI and ngx.config.subsystem == "http" then
  local found, proxy_wasm = pcall(require, "resty.wasmx.proxy_wasm")
  if found and type(proxy_wasm) == "table" and proxy_wasm.new then
    local new = proxy_wasm.new

    function proxy_wasm.new(filters)
      local plan, err = new(filters)
      if plan then
        kept[#kept + 1] = plan
        for _, filter in ipairs(filters) do
          runs_filter = runs_filter or filter.name == FILTER
        end
      end
      return plan, err
    end

    local function tell(worker_ends)
      if worker_ends and runs_filter then
        local plan, err = proxy_wasm.new({ { name = FILTER, config = WORKER_ENDS } })
        if plan then
          plan, err = proxy_wasm.load(plan)
        end
        if not plan then
          ngx.log(ngx.ERR, "retrohook-plans: what is not delivered has no dead letters: ", err)
        end
      end
    end

    function Plans:init_worker()
      -- Kong's own timers, which take the place of nginx's, are not all called when a worker ends.
      local every = rawget(_G, "native_timer_every") or ngx.timer.every
      local timer, err = every(HOUR, tell)
      if not timer then
        ngx.log(ngx.ERR, "retrohook-plans: the end of this worker will have no dead letters: ", err)
      end
    end
  else
    ngx.log(ngx.WARN, "retrohook-plans: this Kong has no filters whose plans could be kept")
  end
end

return Plans
