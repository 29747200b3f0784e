"""One hardened systemd unit a server."""

from __future__ import annotations

from natix_cascade.engines.commands import HEALTH, command, sleep_request
from natix_cascade.engines.facts import TITLES, release_of
from natix_cascade.engines.render.wishes import RenderOptions, earlier_neighbours, remarks
from natix_cascade.engines.server import ServerPlan, ServerPlans

__all__ = ["unit_name", "units"]

_HARDENED = """\
DynamicUser=yes
StateDirectory=natix-engines
CacheDirectory=natix-engines
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
UMask=0077
LimitNOFILE=65536
LimitMEMLOCK=infinity
"""
# Neither PrivateDevices nor MemoryDenyWriteExecute: the GPU's devices are needed, and kernels are compiled at run time.


def unit_name(plan: ServerPlan) -> str:
    """Name of a server's unit."""
    return f"natix-engine-{plan.name}.service"


def units(plans: ServerPlans, options: RenderOptions) -> dict[str, str]:
    """Units by file name, and a target that starts them all."""
    found = {unit_name(plan): _unit(plan, plans, options) for plan in plans.servers}
    wants = " ".join(found)
    found["natix-engines.target"] = (
        f"[Unit]\nDescription=Servers of vision-language models\n"
        f"Wants={wants}\n\n[Install]\nWantedBy=multi-user.target\n"
    )
    return found


def _unit(plan: ServerPlan, plans: ServerPlans, options: RenderOptions) -> str:
    made = command(plan)
    package = release_of(plan.engine)[0]
    program = f"{options.programs}/{package}/bin/{made.words[0]}"
    variables = {"HF_HOME": "/var/cache/natix-engines/hf", "HOME": "/var/lib/natix-engines"} | made.environment
    before = " ".join(["network-online.target", *(unit_name(one) for one in earlier_neighbours(plans, plan))])
    lines = [*(f"# {line}" for line in remarks(plans)), "[Unit]"]
    lines += [f"Description={TITLES[plan.engine]} with {_percent(plan.model)}", "Wants=network-online.target"]
    lines += [f"After={before}", "PartOf=natix-engines.target", "", "[Service]", "Type=exec"]
    lines += [f"Environment={_quoted(f'{key}={value}')}" for key, value in variables.items()]
    lines += [f"EnvironmentFile=-{options.secrets}", f"WorkingDirectory={options.weights_root}"]
    lines.append("ExecStart=" + " \\\n  ".join(_in_lines(program, made.words[1:])))
    lines += [f"ExecStartPost={line}" for line in _afterwards(plan)]
    lines += [f"TimeoutStartSec={options.ready_s}", "TimeoutStopSec=60", "KillMode=mixed"]
    lines += ["Restart=on-failure", "RestartSec=10"]
    return "\n".join(lines) + "\n" + _HARDENED + "\n[Install]\nWantedBy=natix-engines.target\n"


def _afterwards(plan: ServerPlan) -> list[str]:
    """What follows the start: waiting until it answers, and putting it to sleep."""
    base = plan.url.removesuffix("/v1")
    loop = f"until curl --silent --fail --output /dev/null --max-time 5 {base}{HEALTH}; do sleep 2; done"
    lines = [f"/bin/sh -c {_quoted(loop)}"]
    request = sleep_request(plan) if plan.asleep else None
    if request is not None:
        post = "/usr/bin/curl --silent --fail --output /dev/null --request POST --header"
        lines.append(
            f"{post} {_quoted('Content-Type: application/json')} --data {_quoted(request[1])} {base}{request[0]}"
        )
    return lines


def _in_lines(program: str, words: tuple[str, ...]) -> list[str]:
    lines = [_quoted(program)]
    for word in words:
        if word.startswith("--"):
            lines.append(_quoted(word))
        else:
            lines[-1] += f" {_quoted(word)}"
    return lines


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word as systemd reads it: no specifier, no variable, no escape."""
    safe = _percent(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{safe}"' if not word or any(one in word for one in " \t'\"\\;{}") else safe
