-- Each request of the file once, then around: keys that the service has not seen.
local requests = {}
local at = 0

function init(args)
  for line in io.lines(args[1]) do
    local token, key = line:match("^(%S+) (%S+)$")
    local headers = { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" }
    local body = '{"key":"ssh-ed25519 ' .. key .. '\\n"}'
    requests[#requests + 1] = wrk.format("POST", "/ssh", headers, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
