-- Posts the pictures of a list over and over; writes what wrk found as one line of JSON.
-- WRK_LIST: file with a path a line; WRK_OUT: where the JSON goes; WRK_FIRST: with which picture to begin.

local requests, place = {}, 0

function init(args)
  local headers = { ["Content-Type"] = "image/jpeg" }
  for path in io.lines(os.getenv("WRK_LIST")) do
    local file = assert(io.open(path, "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
  place = tonumber(os.getenv("WRK_FIRST") or "0")
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, requests)
  local errors = summary.errors
  local out = assert(io.open(os.getenv("WRK_OUT"), "w"))
  out:write(string.format(
    '{"requests": %d, "seconds": %.6f, "bytes": %d, "p50_ms": %.4f, "p95_ms": %.4f, "p99_ms": %.4f, "max_ms": %.4f, ' ..
    '"not_2xx": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
  out:close()
end
