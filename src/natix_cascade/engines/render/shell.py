"""A script that starts all servers of a machine, one after the other, and stops them together."""

from __future__ import annotations

import shlex

from natix_cascade.engines.commands import HEALTH, command, sleep_request
from natix_cascade.engines.render.wishes import RenderOptions, remarks
from natix_cascade.engines.server import ServerPlan, ServerPlans

__all__ = ["script"]

_HEAD = """\
set -eu

secrets=${NATIX_ENGINES_ENV:-@SECRETS@}
if [ -r "$secrets" ]; then
  set -a
  . "$secrets"
  set +a
fi

pids=""
stop() {
  trap - INT TERM EXIT
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  wait
}
trap stop EXIT
trap 'exit 143' INT TERM

start() {  # NAME WORD...: a server, its output in NAME.log
  name=$1
  shift
  echo "starting $name"
  "$@" >"$name.log" 2>&1 &
  pid=$!
  pids="$pids $pid"
}

ready() {  # NAME URL: wait until it answers, as long as it lives
  waited=0
  until curl --silent --fail --output /dev/null --max-time 5 "$2"; do
    kill -0 "$pid" 2>/dev/null || { echo "$1 has ended; see $1.log" >&2; exit 1; }
    [ "$waited" -lt @READY@ ] || { echo "$1 is not ready after @READY@ s; see $1.log" >&2; exit 1; }
    sleep 2
    waited=$((waited + 2))
  done
  echo "$1 is ready after $waited s"
}

asleep() {  # NAME URL BODY: put it to sleep
  curl --silent --fail --output /dev/null --request POST --header 'Content-Type: application/json' --data "$3" "$2"
  echo "$1 sleeps"
}
"""


def script(plans: ServerPlans, options: RenderOptions) -> str:
    """A POSIX shell script: servers that share a GPU load one after the other."""
    head = _HEAD.replace("@SECRETS@", shlex.quote(options.secrets)).replace("@READY@", str(options.ready_s))
    notes = "".join(f"# {line}\n" for line in remarks(plans))
    return "\n".join(
        [f"#!/bin/sh\n{notes}{head}", *(_server(plan) for plan in plans.servers), 'echo "all are ready"', "wait", ""]
    )


def _server(plan: ServerPlan) -> str:
    made = command(plan)
    name = shlex.quote(plan.name)
    variables = [f"{key}={value}" for key, value in made.environment.items()]
    pieces = _in_lines(["start", plan.name, "env", *variables], made.words)
    base = plan.url.removesuffix("/v1")
    lines = [pieces, f"ready {name} {shlex.quote(base + HEALTH)}"]
    if plan.asleep and (request := sleep_request(plan)) is not None:
        lines.append(f"asleep {name} {shlex.quote(base + request[0])} {shlex.quote(request[1])}")
    return "\n".join(lines) + "\n"


def _in_lines(lead: list[str], words: tuple[str, ...]) -> str:
    """One flag a line, with its values."""
    lines = [shlex.join(lead)]
    current: list[str] = []
    for word in words:
        if word.startswith("--") and current:
            lines.append(shlex.join(current))
            current = []
        current.append(word)
    return " \\\n  ".join([*lines, shlex.join(current)])
