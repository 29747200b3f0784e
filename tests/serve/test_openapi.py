"""The description: valid, complete, and true of the answers to generated requests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from service_process import SCRIPTED, Make, ServiceProcess

from natix_cascade.serve import key_file
from natix_cascade.serve.problems import _TITLES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "service.md"
EXCEPT = {"GET /", "GET /static/{name}", "GET /openapi.json"}  # the page, and the description itself


@pytest.fixture(scope="module")
def described(service: ServiceProcess) -> dict[str, Any]:
    with service.client() as client:
        found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_openapi_3_1(described: dict[str, Any]) -> None:
    from schemathesis.specs.openapi import definitions

    assert described["openapi"].startswith("3.1.")
    jsonschema_rs.validator_for(definitions.OPENAPI_31).validate(described)
    for name, schema in described["components"]["schemas"].items():
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        assert jsonschema_rs.meta.is_valid(whole), name


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(described)))
    assert references <= described["components"]["schemas"].keys()
    assert "Answer" in references


def test_every_path_of_the_reference_is_described(described: dict[str, Any]) -> None:
    text = REFERENCE.read_text("utf-8")
    told = set(re.findall(r"\b((?:GET|POST) /[\w/{}.-]*)", text)) - EXCEPT
    assert told == operations(described).keys()


def test_every_option_of_the_reference_is_described(described: dict[str, Any]) -> None:
    table = REFERENCE.read_text("utf-8").partition("## POST /v1/infer")[2].partition("The answer is")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    operation = described["paths"]["/v1/infer"]["post"]
    content = operation["requestBody"]["content"]
    assert {each["name"] for each in operation["parameters"]} == told
    for kind, more in (("multipart/form-data", {"file"}), ("application/json", {"image", "url"})):
        assert content[kind]["schema"]["properties"].keys() == told | more


def test_every_problem_of_the_service_is_in_the_reference() -> None:
    table = REFERENCE.read_text("utf-8").partition("## Problems")[2].partition("## POST")[0]
    rows = re.findall(r"^\| ([\d, ]+) \| (.*?) \|", table, re.MULTILINE)
    told = {
        (int(status), name)
        for codes, names in rows
        for status in codes.split(", ")
        for name in re.findall(r"`([\w-]+)`", names)
    }
    for name, (status, _) in _TITLES.items():
        assert (status, name) in told, name


def test_every_operation_says_what_it_does_and_how_it_fails(described: dict[str, Any]) -> None:
    for name, operation in operations(described).items():
        assert operation["description"], name
        assert min(operation["responses"]) in ("200", "201", "202"), name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            if int(status) >= 400 and name != "GET /ready":
                assert answer["content"].keys() == {"application/problem+json"}, (name, status)
        if name != "GET /health":
            assert {"401", "403"} <= operation["responses"].keys(), name


def test_examples_are_valid_and_work(described: dict[str, Any], client: httpx.Client) -> None:
    for name, operation in operations(described).items():
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if kind == "application/json":
                whole = {**content["schema"], "components": described["components"]}
                jsonschema_rs.validator_for(whole).validate(content["example"])
            assert kind != "application/json" or "example" in content, name
    place = next(each for each in described["paths"]["/v1/infer"]["post"]["parameters"] if each["name"] == "place")
    assert client.post("/v1/infer", content=b"", params={"place": place["schema"]["example"]}).status_code == 422


def test_answers_are_as_described(described: dict[str, Any], client: httpx.Client, scenes: list[bytes]) -> None:
    def check(response: httpx.Response) -> Any:
        path = re.sub(r"/[0-9a-f]{32}$", "/{id}", response.request.url.path)
        operation = described["paths"][path][response.request.method.lower()]
        content = operation["responses"][str(response.status_code)]["content"]
        whole = {**content[response.headers["content-type"]]["schema"], "components": described["components"]}
        jsonschema_rs.validator_for(whole).validate(response.json())
        return response.json()

    options = {"explain": "true", "place": "1,2", "label": "true", "name": "x"}
    verdict = check(client.post("/v1/infer", content=scenes[0], params=options))
    assert verdict["explanation"]["heat_map"]
    given = {"verdict_id": verdict["verdict_id"], "label": True, "note": "x"}
    check(client.post("/v1/feedback", json=given))
    for path in ("/v1/verdicts", f"/v1/verdicts/{verdict['verdict_id']}", "/v1/cascade", "/v1/models", "/v1/status"):
        check(client.get(path))
    for path in ("/health", "/ready", "/v1/admin/breakers"):
        check(client.get(path))
    check(client.post("/v1/admin/reload", json={"cascade": "no-such"}))
    check(client.post("/v1/infer", content=b"GIF89a"))


CONFIG = """
hooks = "schemathesis_hooks"
continue-on-failure = true

[generation]
database = "none"
max-examples = {examples}

[auth.openapi]
header = {{ api_key = "{key}" }}

[[operations]]
include-path = "/v1/verdicts/{{id}}"
parameters = {{ "path.id" = "{verdict}" }}

[[operations]]
include-path = "/v1/admin/drain"
enabled = false  # it does what it says; test_lifecycle.py asks for it
"""


@pytest.mark.parametrize(
    "examples", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=["few", "many"]
)
def test_schemathesis_finds_nothing(make: Make, tmp_path: Path, white: bytes, examples: int) -> None:
    _, key = key_file.create(tmp_path / "keys.json", ("admin", "metrics"))
    service = make(*SCRIPTED, "--cascade", "bright", "--keys", str(tmp_path / "keys.json"), folder=tmp_path)
    with service.client(headers={"x-api-key": key}) as client:
        verdict = client.post("/v1/infer", content=white, params={"label": "true"}).json()["verdict_id"]
        description = tmp_path / "openapi.json"
        description.write_bytes(client.get("/openapi.json").content)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(examples=examples, verdict=verdict, key=key))
    command = [
        str(Path(sys.executable).with_name("st")),
        "--config-file",
        str(config),
        "run",
        "--no-color",
        "-c",
        "all",
    ]
    found = subprocess.run(
        [*command, "--url", service.url, str(description)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**service.environment, "NATIX_TEST_VERDICT": verdict, "NO_PROXY": "*"},
        timeout=500,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-2_000:]
    assert "Traceback" not in service.log()
    service.stop()
