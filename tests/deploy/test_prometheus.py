"""Rules, alerts and their way, with the real Prometheus, promtool and Alertmanager, and a real service."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers
import yaml
from service_process import ServiceProcess, eventually, plain
from watched import DEPLOY, PATIENCE_S, Watched, shortened, wait_for, watched

pytestmark = [pytest.mark.observe, pytest.mark.timeout(240)]
ROOT = DEPLOY.parent
PROMETHEUS = DEPLOY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def run(program: str, *arguments: str | Path, page: str = "") -> str:
    found = shutil.which(program)
    if found is None:
        servers._absent(f"needs {program} (Debian's prometheus and prometheus-alertmanager)")
    done = subprocess.run([found, *map(str, arguments)], input=page, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules(kind: str) -> list[dict[str, Any]]:
    """All alerts, or all recording rules."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text("utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


ALERTS = {rule["alert"]: rule for rule in rules("alert")}
RECORDS = sorted({rule["record"] for rule in rules("record")})


# what needs no server


def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (tmp_path / "prometheus/natix-cascade.key").write_text("a key")
    told = run("promtool", "check", "config", "--lint-fatal", tmp_path / "prometheus/prometheus.yml")
    assert all(f"{file.name}\n  SUCCESS" in told for file in RULES), told


def test_amtool_accepts_the_configuration_of_alertmanager(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "alertmanager", tmp_path / "alertmanager")
    (tmp_path / "alertmanager/pager.token").write_text("a token")
    assert "SUCCESS" in run("amtool", "check-config", tmp_path / "alertmanager/alertmanager.yml")


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_rules_do_what_their_unit_tests_say(file: Path) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", file)


def test_unit_tests_notice_when_alerts_are_deaf(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    deaf = [{**rule, "expr": f"({rule['expr']}) and on () vector(1) < 0"} for rule in ALERTS.values()]
    (tmp_path / "rules/alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": deaf}]}))
    shutil.copytree(PROMETHEUS / "tests", tmp_path / "tests")
    with pytest.raises(AssertionError) as failed:
        run("promtool", "test", "rules", tmp_path / "tests/alerts.yml")
    assert [name for name in ALERTS if name not in str(failed.value)] == []


def test_every_recording_rule_has_a_unit_test() -> None:
    text = "".join(file.read_text("utf-8") for file in TESTS if file.stem != "alerts")
    assert [name for name in RECORDS if not re.search(rf"{name}\b", text)] == []


def test_every_alert_says_what_is_wrong_with_numbers_and_what_to_do() -> None:
    page = (ROOT / "docs/how-to/monitor.md").read_text("utf-8")
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}
    for name, rule in ALERTS.items():
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert notes["summary"], name
        assert re.search(r"\d|\$value", notes["description"]) or name == "CascadeDown", name
        assert notes["runbook_url"] == f"docs/how-to/monitor.md#{name.lower()}", name
        assert name.lower() in anchors, f"{name} is not in the runbook"
        assert rule["for"], name


def test_days_become_seconds() -> None:
    rule = 'expr: rate(a[5m]) - rate(a[1d] offset 30m) > 5\nfor: 10m\ninterval: 1m\ndescription: "of 30m"'
    short = 'expr: rate(a[3s]) - rate(a[8s] offset 4s) > 5\nfor: 1s\ninterval: 500ms\ndescription: "of 30m"'
    assert shortened(rule) == short


# with real servers


def test_promtool_has_nothing_to_say_against_the_page(watched_service: Watched) -> None:
    for name in ("cascade_verdicts_total", "cascade_deadline_misses_total > 0"):  # all kinds of traffic were there
        watched_service.wait(name)
    with watched_service.service.client() as client:
        page = client.get("/metrics").text
    assert "cascade_verdicts_total{" in page
    assert run("promtool", "check", "metrics", page=page) == ""


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_rule_has_a_value(watched_service: Watched, record: str) -> None:
    if record.startswith("cascade_gpu:") and not watched_service.gpus:
        pytest.skip("needs nvidia-ml-py and gcc")
    found = watched_service.wait(record)
    assert all(each["metric"]["job"] == "natix-cascade" for each in found)
    assert not [each for each in found if each["value"][1] in ("NaN", "+Inf", "-Inf")]


def test_what_is_recorded_agrees_with_the_page(watched_service: Watched) -> None:
    watched_service.wait("cascade:promise:margin")
    shares = watched_service.wait("sum(cascade_level:exit_share:rate30m)")
    assert float(shares[0]["value"][1]) == pytest.approx(1)
    (mean,) = watched_service.wait("cascade:judge_score:mean1h")
    assert float(mean["value"][1]) == pytest.approx(0.9)
    (failing,) = watched_service.wait("cascade:failed_ratio:rate5m > 0 or cascade:degraded_ratio:rate5m > 0")
    assert 0 < float(failing["value"][1]) < 0.5
    (value,) = watched_service.wait('cascade:feedback:observed{metric="accuracy"}')
    assert 0.3 < float(value["value"][1]) < 1


def test_no_rule_fails(watched_service: Watched) -> None:
    watched_service.wait("cascade:judge_score:fall")
    groups = httpx.get(f"{watched_service.prometheus.url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert found.keys() == {*ALERTS, *RECORDS}
    assert {name: rule["lastError"] for name, rule in found.items() if rule["health"] != "ok"} == {}


def paged(got: queue.Queue[tuple[str, str | None, Any]], alert: str) -> tuple[str, str | None, dict[str, Any]]:
    """The webhook that first tells of an alert."""
    while True:
        path, key, body = got.get(timeout=PATIENCE_S)
        for each in body["alerts"]:
            if each["labels"]["alertname"] == alert:
                return path, key, each


def test_an_open_breaker_and_a_dead_service_reach_the_pager(tmp_path: Path) -> None:
    config = (DEPLOY / "alertmanager/alertmanager.yml").read_text("utf-8")
    config = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", config)
    away = tmp_path / "away"
    paths = os.pathsep.join((str(ROOT / "src"), str(Path(__file__).parent)))
    options = ("--loader", "away_loader:away", "--workers", "1")
    service = ServiceProcess(
        tmp_path / "service", *options, env={"NATIX_TEST_AWAY": str(away), "PYTHONPATH": paths}
    ).start()
    try:
        with servers.webhook() as (url, got):
            config = config.replace("http://127.0.0.1:9099", url)
            with (
                servers.alertmanager(tmp_path / "manager", config, {"pager.token": "word"}) as manager,
                watched(tmp_path / "prometheus", service, alertmanager=manager.url) as it,
            ):
                it.wait('cascade_breaker_state{model="first"} == 0')
                assert "CascadeBreakerOpen" not in it.alerts()
                away.touch()
                _break(it)
                path, key, alert = paged(got, "CascadeBreakerOpen")
                assert (path, key) == ("/pager", "Bearer word")
                assert alert["labels"]["model"] == "first"
                assert alert["annotations"]["summary"] == "first does not answer"
                assert re.search(r"its state is [12] \(", alert["annotations"]["description"])

                service.kill()
                _, _, alert = paged(got, "CascadeDown")
                assert alert["labels"]["severity"] == "critical"
                wait_for(lambda: "CascadeInstanceDown" in it.alerts(), "CascadeInstanceDown")
                wait_for(lambda: _suppressed(manager.url, "CascadeInstanceDown"), "its inhibition")
    finally:
        if service.process.poll() is None:
            service.kill()


def _break(it: Watched) -> None:
    """Ask until the model's breaker is open."""
    with it.service.client() as client:

        def opened() -> bool:
            client.post("/v1/infer", content=plain(250, 250, 250), headers={"content-type": "image/jpeg"})
            return any(each["state"] == "open" for each in client.get("/v1/admin/breakers").json()["breakers"])

        eventually(opened)


def _suppressed(url: str, alert: str) -> bool:
    found = httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()
    return any(each["labels"]["alertname"] == alert and each["status"]["state"] == "suppressed" for each in found)
