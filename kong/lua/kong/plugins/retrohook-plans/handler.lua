-- Keeps every plan that Kong makes of a filter chain, so that a change of the configuration takes nothing from a filter.
--
-- When Lua's garbage collector frees the plan of a chain that was changed or removed, ngx_wasm_module ends the instances of all
-- filters in the worker: what they have queued is lost, and a call or a request that they hold crashes the worker. So no plan is
-- freed here. A filter of a kept plan sends what it has queued and then does nothing. Loading this file is all it takes; the plugin
-- has no phases, and need not be on any service.
local Plans = {
  PRIORITY = 1,
  VERSION = "1.0.0",
}

-- Kong's command line loads plugins, too, and so does its proxy for TCP. Neither runs filters.
if not ngx.IS_CLI and ngx.config.subsystem == "http" then
  local found, proxy_wasm = pcall(require, "resty.wasmx.proxy_wasm")
  if found and type(proxy_wasm) == "table" and proxy_wasm.new then
    local kept = {}
    local new = proxy_wasm.new

    function proxy_wasm.new(filters)
      local plan, err = new(filters)
      if plan then
        kept[#kept + 1] = plan
      end
      return plan, err
    end
  else
    ngx.log(ngx.WARN, "retrohook-plans: this Kong has no filters whose plans could be kept")
  end
end

return Plans
