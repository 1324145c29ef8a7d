-- Nothing can be configured.
return {
  name = "retrohook-plans",
  fields = {
    { config = { type = "record", fields = {} } },
  },
}
