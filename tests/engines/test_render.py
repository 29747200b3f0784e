from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from server_plans import possible, server, together

from natix_cascade.engines.check import check_commands
from natix_cascade.engines.commands import command
from natix_cascade.engines.reading import commands_of, old_requests, plans_of
from natix_cascade.engines.render import FORMATS, RenderOptions, rendered
from natix_cascade.engines.server import Lora, ServerPlan, ServerPlans
from natix_cascade.errors import SpecError


def several() -> ServerPlans:
    """Two that share a GPU, one of them asleep; one on another engine; awkward paths."""
    big = server(
        name="big", model="/srv/mo del$x%/78B", served="big", gpus=(0, 1), sleep=True, asleep=True, port=8101,
        architecture="internvl", heads=64, precision="fp8", memory_fraction=0.9,
    )  # fmt: skip
    small = server(name="small", port=8102, loras=(Lora(name="night", path='/srv/lo\'ra "x"'),))
    other = server(name="other", engine="sglang", gpus=(2,), port=8103, sleep=True)
    return together(big, small, other)


def read_back(plans: ServerPlans, kind: str) -> list[Any]:
    return [one for file in rendered(plans, kind) for one in commands_of(file.text, file.name)]


@given(plans=st.lists(possible(), min_size=1, max_size=3, unique_by=lambda plan: plan.name))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_says_the_same_words_and_passes(kind: str, plans: list[ServerPlan]) -> None:
    made = together(*plans)
    found = read_back(made, kind)
    contained = kind in {"compose", "helm"}
    wanted = {command(plan, contained=contained).words[1:] for plan in plans}
    assert {one.words[1:] if one.words[0] != "start" else _after_env(one.words)[1:] for one in found} >= wanted
    assert check_commands(found).problems == ()
    for plan in plans:
        mine = [one for one in found if str(plan.port) in one.words]
        expected = command(plan, contained=contained).environment.items()
        assert any(expected <= one.environment.items() for one in mine)


def _after_env(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words after ``start NAME env A=b ...``."""
    rest = list(words[3:])
    while "=" in rest[0] and rest[0].split("=")[0].isupper():
        rest.pop(0)
    return tuple(rest)


@pytest.mark.parametrize("program", ["bash", "dash"])
def test_shells_take_the_script(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    (file,) = rendered(several(), "shell")
    assert file.mode == 0o755
    done = subprocess.run([program, "-n"], input=file.text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


STAND_IN = """#!{python} -u
import http.server, json, sys
words = sys.argv[1:]
port = int(words[words.index("--port") + 1])
print(json.dumps(words))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def do_POST(self):
        print("POST", self.path)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_the_script_starts_waits_puts_to_sleep_and_stops_all(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    for name in ("vllm", "sglang"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(0o755)
    secrets = tmp_path / "secrets.env"
    secrets.write_text("HF_TOKEN=abc\n")
    ports = _free_ports(3)
    servers = [replace(one, port=port) for one, port in zip(several().servers, ports, strict=True)]
    (file,) = rendered(together(*servers), "shell", RenderOptions(secrets=str(secrets), ready_s=60))
    script = tmp_path / file.name
    script.write_text(file.text)
    script.chmod(file.mode)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        [str(script)], cwd=tmp_path, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said: list[str] = []
        for line in running.stdout:
            said.append(line.strip())
            if said[-1] == "all are ready":
                break
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 143
    assert [line.split()[:2] for line in said] == [
        ["starting", "big"],
        ["big", "is"],
        ["big", "sleeps"],
        ["starting", "small"],
        ["small", "is"],
        ["starting", "other"],
        ["other", "is"],
        ["all", "are"],
    ]
    big = (tmp_path / "big.log").read_text().splitlines()
    assert json.loads(big[0]) == list(command(servers[0]).words[1:])
    assert big[1:] == ["POST /sleep?level=1"]
    assert json.loads((tmp_path / "small.log").read_text().splitlines()[0]) == list(command(servers[1]).words[1:])
    time.sleep(0.2)
    for port in ports:
        with socket.socket() as one:
            assert one.connect_ex(("127.0.0.1", port)) != 0, "a server outlived the script"


def test_the_script_says_who_died(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\necho out of memory; exit 1\n")
    program.chmod(0o755)
    (file,) = rendered(together(server(port=_free_ports(1)[0])), "shell")
    done = subprocess.run(
        ["/bin/sh", "-c", file.text],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "qwen3-vl-4b has ended; see qwen3-vl-4b.log" in done.stderr


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd-analyze here")
    for package, name in (("vllm", "vllm"), ("sglang", "sglang")):
        program = tmp_path / package / "bin" / name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    files = rendered(several(), "systemd", RenderOptions(programs=str(tmp_path), weights_root=str(tmp_path)))
    for file in files:
        (tmp_path / file.name).write_text(file.text)
    done = subprocess.run(
        [verify, "verify", "--man=no", *(str(tmp_path / file.name) for file in files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    about_ours = [line for line in done.stderr.splitlines() if "natix-engine" in line]
    assert about_ours == []


def test_units_wait_for_their_neighbours_and_hold_no_secret() -> None:
    units = {file.name: file.text for file in rendered(several(), "systemd", RenderOptions(secrets="/run/keys"))}
    assert sorted(units) == [
        "natix-engine-big.service",
        "natix-engine-other.service",
        "natix-engine-small.service",
        "natix-engines.target",
    ]
    assert "After=network-online.target natix-engine-big.service\n" in units["natix-engine-small.service"]
    assert "After=network-online.target\n" in units["natix-engine-other.service"]
    assert "/sleep?level=1" in units["natix-engine-big.service"]
    for name, text in units.items():
        assert ("EnvironmentFile=-/run/keys" in text) == name.endswith(".service")
        assert ("NoNewPrivileges=yes" in text) == name.endswith(".service")


def test_services_are_on_loopback_with_their_gpus_only() -> None:
    data = yaml.safe_load(rendered(several(), "compose")[0].text)
    services = data["services"]
    assert sorted(services) == ["big", "big-sleep", "other", "small"]
    for name, gpus in (("big", ["0", "1"]), ("small", ["0"]), ("other", ["2"])):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["device_ids"], device["capabilities"]) == (gpus, ["gpu"])
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
        assert services[name]["image"].rsplit(":", 1)[1].startswith("v")
    assert services["small"]["depends_on"] == {"big-sleep": {"condition": "service_completed_successfully"}}
    assert "depends_on" not in services["other"]


def test_docker_takes_the_services(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker here")
    data = yaml.safe_load(rendered(several(), "compose")[0].text)
    asked = [docker, "compose", "-f", "compose.yaml", "config", "--quiet"]
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        asked = [docker, "stack", "config", "-c", "compose.yaml"]
        data.pop("name")
        for service in data["services"].values():  # what the schema of Swarm stacks has no word for
            service.get("deploy", {}).get("resources", {}).pop("reservations", None)
            service["depends_on"] = list(service.get("depends_on", {}))
            service["env_file"] = [one["path"] for one in service.pop("env_file", []) if Path(one["path"]).exists()]
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(data))
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_values_ask_for_whole_gpus_and_say_what_that_means() -> None:
    text = rendered(several(), "helm", RenderOptions(images={"vllm": "registry.local/vllm:own"}))[0].text
    data = yaml.safe_load(text)
    big, small, other = data["servers"]
    assert [one["resources"]["limits"]["nvidia.com/gpu"] for one in (big, small, other)] == [2, 1, 1]
    assert big["image"] == {"repository": "registry.local/vllm", "tag": "own", "pullPolicy": "IfNotPresent"}
    assert big["startupProbe"]["httpGet"]["path"] == "/health"
    assert "postStart" in big["lifecycle"]
    assert "lifecycle" not in small
    assert "# small: shares a GPU" in text


def test_python_in_containers_is_python() -> None:
    data = yaml.safe_load(rendered(several(), "compose")[0].text)["services"]
    compile(data["big"]["healthcheck"]["test"][-1], "health", "exec")
    compile(data["big-sleep"]["command"][-1].replace("$$", "$"), "sleep", "exec")


@given(plans=st.lists(possible(), min_size=1, max_size=3, unique_by=lambda plan: plan.name))
@settings(max_examples=60, deadline=None)
def test_plans_come_back_from_json(plans: list[ServerPlan]) -> None:
    made = together(*plans)
    assert plans_of(rendered(made, "json")[0].text, "servers.json") == made


SCRIPT = """\
#!/bin/bash
export VLLM_USE_SPARK=1   # old habit
# vllm serve commented --nonsense
cd /tmp && SPARK_SPARSITY_RATIO=0.5 nohup vllm serve Qwen/Qwen3-VL-4B-Instruct \\
  --max-model-len 4096 --kv-cache-dtype fp8 > vllm.log 2>&1 &
env CUDA_VISIBLE_DEVICES=1 sglang serve --model-path m --port 30000 | tee log
curl localhost:8000/v1/chat/completions -d '{"guided_choice": ["yes", "no"]}'
echo "it's done"
"""


def test_a_persons_script_is_read() -> None:
    found = commands_of(SCRIPT, "start.sh")
    assert [(one.source, one.words[0], one.words[-1]) for one in found] == [
        ("start.sh:4", "nohup", "fp8"),
        ("start.sh:6", "env", "30000"),
    ]
    assert found[0].environment == {"VLLM_USE_SPARK": "1", "SPARK_SPARSITY_RATIO": "0.5"}
    assert found[1].environment == {"VLLM_USE_SPARK": "1", "CUDA_VISIBLE_DEVICES": "1"}
    problems = check_commands(found).problems
    assert sorted({problem.flag for problem in problems}) == ["SPARK_SPARSITY_RATIO", "VLLM_USE_SPARK"]
    (old,) = old_requests(SCRIPT, "start.sh")
    assert (old.source, old.flag) == ("start.sh:7", "guided_choice")


def test_a_manifest_of_anybody_is_read() -> None:
    text = """
spec:
  template:
    spec:
      containers:
        - name: vlm
          image: vllm/vllm-openai:v0.32.0
          args: ["--model", "m", "--max-modl-len", "2048"]
          env: [{name: VLLM_USE_SPARK, value: "1"}]
"""
    (one,) = commands_of(text, "pod.yaml")
    assert sorted(problem.flag for problem in check_commands([one]).problems) == ["--max-modl-len", "VLLM_USE_SPARK"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vllm serve 'm", "x.sh"),
        ("a: [", "x.yaml"),
        ("{", "x.json"),
        ('{"servers": [{}]}', "x.json"),
        ("[Service]\nExecStart=a 'b", "x.service"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, name: str) -> None:
    with pytest.raises(SpecError, match="x"):
        commands_of(text, name)
