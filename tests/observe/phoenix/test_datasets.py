from __future__ import annotations

import csv
import uuid
from pathlib import Path
from typing import Any

import pytest
from servers import Server

from natix_cascade.run.cascade import Cascade

pytest.importorskip("phoenix.client", reason="needs the extra phoenix")

pytestmark = [pytest.mark.observe, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def labels(scenes: Path) -> dict[str, bool]:
    with (scenes / "manifest.csv").open() as file:
        return {row["path"]: row["label"] == "1" for row in csv.DictReader(file)}


def name_of(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


def read(phoenix: Server, name: str) -> Any:
    from phoenix.client import Client

    return Client(base_url=phoenix.url).datasets.get_dataset(dataset=name)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_results_of_a_scan_come_back_as_they_were(  # noqa: PLR0917  # fixtures
    phoenix: Server, scenes: Path, labels: dict[str, bool], command: Any, tmp_path: Path, suffix: str
) -> None:
    results, name = tmp_path / f"scan.{suffix}", name_of("scan")
    command("scan", scenes, "--out", results)
    more = ("--labels", scenes / "manifest.csv", "--root", scenes, "--url", phoenix.url, "--json")

    told = command("observe", "phoenix", "dataset", name, "--results", results, *more)

    with Cascade.load("embedded") as cascade:
        verdicts = {path: cascade.detect(scenes / path) for path in labels}
    examples = {each["input"]["name"]: each for each in read(phoenix, name).examples}
    assert examples.keys() == verdicts.keys()
    assert (told["examples"], told["labelled"], told["with_picture"]) == (12, 12, 12)
    for path, each in examples.items():
        verdict, said = verdicts[path], each["metadata"]
        assert each["output"]["label"] == ("roadwork" if labels[path] else "none")
        assert said["verdict"] == ("roadwork" if verdict.detected else "none")
        assert (said["why"] == "wrong") is (verdict.detected != labels[path])
        assert said["exit_level"] == verdict.exit_level
        assert said["probability"] == pytest.approx(verdict.probability, abs=1e-3)  # batches round otherwise
        assert set(said["probabilities"]) == {opinion.model for opinion in verdict.opinions}
        assert Path(each["input"]["picture"]) == scenes / path
    assert told["wrong"] == sum(verdicts[path].detected != labels[path] for path in labels)


def test_the_hardest_come_first_and_a_second_time_makes_a_new_version(
    phoenix: Server, scenes: Path, command: Any, tmp_path: Path
) -> None:
    results, name = tmp_path / "scan.jsonl", name_of("versions")
    command("scan", scenes, "--out", results)
    more = ("--results", results, "--root", scenes, "--url", phoenix.url, "--json")

    first = command("observe", "phoenix", "dataset", name, "--hardest", 3, *more)
    before = read(phoenix, name)
    second = command("observe", "phoenix", "dataset", name, "--hardest", 2, *more)
    after = read(phoenix, name)

    assert first["id"] == second["id"]
    assert first["version"] != second["version"]
    assert [each["input"]["sha256"] for each in before.examples][:2] == [each["input"]["sha256"] for each in after]
    assert first["labelled"] == 0  # no manifest
    confidences = [each["metadata"]["confidence"] for each in before.examples if each["metadata"]["why"] == "unsure"]
    assert confidences == sorted(confidences)


def test_what_detect_prints_is_taken_too(phoenix: Server, scenes: Path, command: Any, tmp_path: Path) -> None:
    results, name = tmp_path / "verdict.json", name_of("detect")
    results.write_text(__import__("json").dumps(command("detect", scenes / "scenes" / "00000.jpg", "--json")))

    told = command("observe", "phoenix", "dataset", name, "--results", results, "--url", phoenix.url, "--json")

    assert (told["examples"], told["with_picture"]) == (1, 1)


def test_two_policies_over_a_data_set(
    phoenix: Server, scenes: Path, labels: dict[str, bool], command: Any, tmp_path: Path
) -> None:
    from phoenix.client import Client

    results, name = tmp_path / "scan.jsonl", name_of("policies")
    command("scan", scenes, "--out", results)
    more = ("--labels", scenes / "manifest.csv", "--root", scenes, "--url", phoenix.url, "--json")
    command("observe", "phoenix", "dataset", name, "--results", results, *more)

    told = command(
        "observe",
        "phoenix",
        "experiment",
        name,
        "--policy",
        "embedded",
        "--policy",
        "none",
        "--url",
        phoenix.url,
        "--json",
    )

    assert [each["policy"].partition("@")[0] for each in told["experiments"]] == ["embedded", "none"]
    client = Client(base_url=phoenix.url)
    for each, policy in zip(told["experiments"], ("embedded", "none"), strict=True):
        with Cascade.load("embedded", policy=policy) as cascade:
            verdicts = {path: cascade.detect(scenes / path) for path in labels}
        right = [verdicts[path].detected == labels[path] for path in labels]
        filed = client.experiments.get_experiment(experiment_id=each["experiment"])
        correct = [run.result["score"] for run in filed["evaluation_runs"] if run.name == "correct"]
        gmacs = [run.result["score"] for run in filed["evaluation_runs"] if run.name == "gmacs"]
        exits = [run.result["label"] for run in filed["evaluation_runs"] if run.name == "exit_level"]
        assert {run.name for run in filed["evaluation_runs"]} == {
            "correct",
            "cost_usd",
            "exit_level",
            "gmacs",
            "latency_ms",
        }
        assert len(filed["task_runs"]) == len(correct) == each["n"] == each["judged"] == len(labels)
        assert each["accuracy"] == pytest.approx(sum(right) / len(right))
        assert sorted(correct) == sorted(map(float, right))
        assert sum(gmacs) / len(gmacs) == pytest.approx(each["gmacs"])
        assert sorted(exits) == sorted(verdict.exit_level for verdict in verdicts.values())
    dear, cheap = told["experiments"][1], told["experiments"][0]
    assert dear["gmacs"] > cheap["gmacs"]  # without a policy every model is asked


def test_an_example_without_its_picture_is_told(phoenix: Server, scenes: Path, command: Any, tmp_path: Path) -> None:
    results, name = tmp_path / "scan.jsonl", name_of("gone")
    command("scan", scenes, "--out", results)
    options = ("--results", results, "--hardest", 2, "--url", phoenix.url)
    command("observe", "phoenix", "dataset", name, *options)  # without --root the pictures are not found
    ask = ("observe", "phoenix", "experiment", name, "--policy", "embedded", "--url", phoenix.url, "--json")

    told = command(*ask, code=1)
    found = command(*ask, "--pictures", scenes)

    assert (told["experiments"][0]["judged"], told["experiments"][0]["failed"]) == (0, 2)
    assert (found["experiments"][0]["judged"], found["experiments"][0]["failed"]) == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dataset", "x"), "give either --state"),
        (("dataset", "x", "--state", "a", "--results", "b"), "give either --state"),
        (("dataset", "x", "--state", "nowhere"), "no store in nowhere"),
        (("dataset", "x", "--results", "nowhere.jsonl"), "cannot be read"),
        (("experiment", "no-such-set", "--policy", "embedded"), "no-such-set"),
    ],
)
def test_what_cannot_be_done_is_one_line(phoenix: Server, command: Any, arguments: Any, message: str) -> None:
    said = command("observe", "phoenix", *arguments, "--url", phoenix.url, code=2)

    assert message in said
    assert len(said.strip().splitlines()) == 1


def test_nobody_there_is_one_line(command: Any) -> None:
    from natix_cascade.rehearse.server_process import free_port

    url = f"http://127.0.0.1:{free_port()}"
    said = command("observe", "phoenix", "experiment", "x", "--policy", "embedded", "--url", url, code=2)

    assert f"Phoenix at {url} cannot be reached" in said
    assert len(said.strip().splitlines()) == 1
