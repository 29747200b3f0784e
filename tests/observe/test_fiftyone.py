"""Verdicts go into a real FiftyOne with a real mongod, and are read back by FiftyOne itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers
from servers import Server

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.decide.metrics import accuracy, mcc
from natix_cascade.rehearse.server_process import free_port
from natix_cascade.report.manifest import read_manifest
from natix_cascade.testing import write_scenes

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))  # for service_process.py: test folders are not packages
from service_process import ServiceProcess

pytestmark = [pytest.mark.observe, pytest.mark.timeout(300)]

SOURCE = Path(__file__).parents[2] / "src"
COUNT = 24
READ = """
import json, sys
import fiftyone as fo
from sklearn.metrics import matthews_corrcoef
data = fo.load_dataset(sys.argv[1])
label = lambda mark: None if mark is None else [mark.label, mark.confidence, mark.get_field("probability")]
samples = {}
for sample in data:
    opinions = {model: label(sample[field]) for field, model in data.info["models"].items()}
    boxes = sample["evidence"].detections if sample["evidence"] else []
    plain = {name: sample[name] for name in (
        "sha256", "hardness", "consensus", "degraded", "exit_level", "exit_reason", "levels_executed", "reasons",
        "latency_ms", "cost_usd", "gmacs", "group", "split", "verdict_id", "cascade", "policy", "tags", "filepath")}
    samples[sample["name"]] = {
        **plain, "opinions": opinions, "verdict": label(sample["verdict"]), "cell": sample.has_field("verdict_eval")
        and sample["verdict_eval"], "truth": sample["ground_truth"] and sample["ground_truth"].label,
        "place": sample["location"] and sample["location"].point, "judged": str(sample["judged"]),
        "boxes": [[box.label, box.confidence, box.bounding_box, box["model"]] for box in boxes]}
found = {"persistent": data.persistent, "count": len(data), "samples": samples, "views": {
    name: data.load_saved_view(name).values("name") for name in data.list_saved_views()}}
if data.has_evaluation("verdict_eval"):
    results = data.load_evaluation_results("verdict_eval")
    found["metrics"] = results.metrics()
    found["confusion"] = results.confusion_matrix().tolist()
    found["mcc"] = float(matthews_corrcoef(results.ytrue, results.ypred))
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class World:
    """Scenes, what a scan said of them, and FiftyOne over a mongod."""

    folder: Path
    variables: dict[str, str]

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    @property
    def results(self) -> Path:
        return self.folder / "scan.jsonl"

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for row in map(json.loads, self.results.read_text("utf-8").splitlines())}

    def run(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, env=self.variables, check=False)
        assert done.returncode == code, done.stderr[-3000:]
        return done

    def command(self, *arguments: str | Path) -> list[str]:
        return [servers.fiftyone_python(), "-m", "natix_cascade", "observe", "fiftyone", *map(str, arguments)]

    def made(self, *arguments: str | Path) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run(*arguments, "--json").stdout)
        return told

    def script(self, code: str, *arguments: str) -> Any:
        command = [servers.fiftyone_python(), "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.variables, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    def read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.script(READ, name)
        return found


@pytest.fixture(scope="session")
def world(mongod: Server, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, COUNT, seed=300, size=(320, 180))
    variables = {**os.environ, **servers.fiftyone_environment(mongod, folder), "PYTHONPATH": str(SOURCE)}
    judge("scan", folder / "scenes", "--out", folder / "scan.jsonl")
    return World(folder, variables)


def judge(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "natix_cascade", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def labels_of(world: World) -> dict[str, bool]:
    return {row.path.name: row.label for row in read_manifest(world.manifest)}


def mark(probability: float) -> list[Any]:
    label = "roadwork" if probability >= 0.5 else "none"
    return [label, pytest.approx(max(probability, 1 - probability)), pytest.approx(probability)]


def test_the_data_set_says_what_the_results_say(world: World, tmp_path: Path) -> None:
    told = world.made(
        world.results, "--labels", world.manifest, "--pictures", world.folder / "scenes", "--export", tmp_path / "hard"
    )
    found, rows, labels = world.read("scan"), world.rows, labels_of(world)

    assert (told["added"], told["samples"], told["missing"], found["persistent"]) == (COUNT, COUNT, 0, True)
    assert set(found["samples"]) == set(rows)
    for name, row in rows.items():
        sample = found["samples"][name]
        for field in ("sha256", "degraded", "exit_level", "levels_executed", "reasons", "cascade", "policy"):
            assert sample[field] == row[field], field
        for field in ("latency_ms", "cost_usd", "gmacs"):
            assert sample[field] == pytest.approx(row[field]), field
        assert sample["consensus"] == pytest.approx(row["consensus_ratio"])
        assert sample["verdict"] == [
            "roadwork" if row["roadwork_detected"] else "none",
            row["confidence"],
            row["probability"],
        ]
        asked = {model: p for model, p in sample["opinions"].items() if p is not None}
        assert asked == {model: mark(p) for model, p in row["model_probabilities"].items() if p is not None}
        assert sample["truth"] == ("roadwork" if labels[name] else "none")
        assert (sample["split"], sample["group"]) == ("test", f"scene{300 + int(name[:5]):06d}")
        assert Path(sample["filepath"]) == world.folder / "scenes" / name
        assert "test" in sample["tags"]

    check_evaluation(told, found, rows, labels)
    check_views(told, found, rows, labels)
    check_export(world, tmp_path / "hard", told, found)

    again = world.made(world.results, "--labels", world.manifest, "--pictures", world.folder / "scenes")
    assert (again["added"], again["updated"], again["unchanged"], again["samples"]) == (0, 0, COUNT, COUNT)
    assert world.read("scan") == found


def check_evaluation(told: Any, found: Any, rows: Any, labels: dict[str, bool]) -> None:
    """Ours, FiftyOne's and the plain arithmetic are the same numbers."""
    truth = np.array([labels[name] for name in rows])
    said = np.array([row["roadwork_detected"] for row in rows.values()])
    cells = [
        [int((~truth & ~said).sum()), int((~truth & said).sum())],
        [int((truth & ~said).sum()), int((truth & said).sum())],
    ]
    judged = told["evaluation"]
    assert found["confusion"] == cells
    assert [judged["true_negative"], judged["false_positive"]] == cells[0]
    assert [judged["false_negative"], judged["true_positive"]] == cells[1]
    assert judged["accuracy"] == pytest.approx(accuracy(truth, said)) == pytest.approx(found["metrics"]["accuracy"])
    assert judged["mcc"] == pytest.approx(mcc(truth, said)) == pytest.approx(found["mcc"])
    assert cells[1][1] > 0
    assert cells[0][1] + cells[1][0] > 0, "these scenes are too easy to show anything"


def check_views(told: Any, found: Any, rows: Any, labels: dict[str, bool]) -> None:
    wrong = {name for name, row in rows.items() if row["roadwork_detected"] != labels[name]}
    disputed = {name for name, row in rows.items() if row["consensus_ratio"] < 1}
    unsure = {name for name, row in rows.items() if row["confidence"] <= 0.8}
    wanted = {
        "false positives": {name for name in wrong if not labels[name]},
        "false negatives": {name for name in wrong if labels[name]},
        "disagreements": disputed,
        "hardest": wrong | disputed | unsure,
        "degraded": {name for name, row in rows.items() if row["degraded"]},
    }
    assert {name: set(names) for name, names in found["views"].items()} == wanted
    assert told["views"] == {name: len(names) for name, names in wanted.items()}
    hardness = [found["samples"][name]["hardness"] for name in found["views"]["hardest"]]
    assert hardness == sorted(hardness, reverse=True)
    assert set(found["views"]["hardest"][: len(wrong)]) == wrong


def check_export(world: World, folder: Path, told: Any, found: Any) -> None:
    """FiftyOne reads the tree as its own type, and evaluation reads the manifest."""
    code = """
import json, sys
import fiftyone as fo
data = fo.Dataset.from_dir(sys.argv[1], dataset_type=fo.types.ImageClassificationDirectoryTree)
print(json.dumps([[sample.filepath, sample.ground_truth.label] for sample in data]))
"""
    chosen = found["views"]["hardest"]
    by_file = {name["sha256"][:16]: name["truth"] for name in map(found["samples"].get, chosen)}
    assert {Path(file).stem: label for file, label in world.script(code, str(folder))} == by_file
    rows = read_manifest(folder / "manifest.csv")
    assert {row.path.stem: "roadwork" if row.label else "none" for row in rows} == by_file
    assert {row.split for row in rows} == {"test"}
    assert sum(told["export"]["classes"].values()) == len(chosen)
    judged = json.loads(judge("evaluate", folder / "manifest.csv", "--levels", "L0", "--bootstrap", "2", "--json"))
    assert judged["pictures"] == len(chosen)


def test_other_verdicts_change_the_samples_and_leave_what_people_added(world: World, tmp_path: Path) -> None:
    half = tmp_path / "half.jsonl"
    lines = world.results.read_text("utf-8").splitlines()
    half.write_text("\n".join(lines[:10]) + "\n", "utf-8")
    options = ("--name", "grows", "--pictures", world.folder / "scenes")
    first = world.made(half, *options, "--labels", world.manifest)
    assert (first["added"], first["evaluation"]["labelled"]) == (10, 10)
    world.script(
        "import json, fiftyone as fo; data = fo.load_dataset('grows'); data.tag_samples('mine');"
        "data.set_values('note', ['seen'] * len(data)); print(json.dumps(len(data)))"
    )
    changed = tmp_path / "changed.jsonl"
    row = json.loads(lines[0])
    turned = {**row, "roadwork_detected": not row["roadwork_detected"], "probability": 1 - row["probability"]}
    changed.write_text("\n".join([json.dumps(turned), *lines[1:], json.dumps(turned)]) + "\n", "utf-8")

    told = world.made(changed, *options)

    assert (told["added"], told["updated"], told["unchanged"]) == (COUNT - 10, 10, 0)  # their groups are unknown now
    assert (told["repeated"], told["samples"]) == (1, COUNT)
    assert told["evaluation"]["labelled"] == 10, "a truth that is known is kept"
    found = world.read("grows")["samples"]
    assert found[row["path"]]["verdict"][0] == ("roadwork" if turned["roadwork_detected"] else "none")
    assert sum("mine" in sample["tags"] for sample in found.values()) == 10
    replaced = world.made(half, *options, "--replace")
    assert (replaced["added"], replaced["samples"], replaced["evaluation"]) == (10, 10, None)
    assert set(replaced["views"]) == {"disagreements", "hardest", "degraded"}


def test_missing_pictures_and_errors_are_counted_and_said(world: World, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(world.folder / "scenes", some)
    gone = ["00003.jpg", "00007.jpg"]
    for name in gone:
        (some / name).unlink()
    (some / "broken.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    results = tmp_path / "some.jsonl"
    error = {"path": "broken.jpg", "error": "no picture", "error_kind": "CorruptPictureError"}
    results.write_text(world.results.read_text("utf-8") + json.dumps(error) + "\n", "utf-8")

    done = world.run(results, "--pictures", some)

    assert f"data set 'some': {COUNT - 2} samples; {COUNT - 2} added" in done.stdout
    assert "2 pictures were not found and are left out: 00003.jpg, 00007.jpg\n" in done.stdout
    assert "1 lines hold an error in place of a verdict" in done.stdout
    assert "no picture has a truth; give --labels" in done.stdout
    assert not set(gone) & set(world.read("some")["samples"])


def test_boxes_stand_where_the_verdict_has_them(world: World, tmp_path: Path) -> None:
    verdict = json.loads(judge("detect", world.folder / "scenes" / "00001.jpg", "--json"))
    box = Box("traffic cone", 0.75, 0.25, 0.5, 0.375, 0.875)
    verdict["model_predictions"]["finder:boxes"] = {
        **next(iter(verdict["model_predictions"].values())),
        "evidence": Evidence((box,), text="a cone").as_dict(),
    }
    results = tmp_path / "boxes.json"
    results.write_text(json.dumps(verdict, indent=2), "utf-8")

    told = world.made(results, "--labels", world.manifest)

    assert told["added"] == 1
    (sample,) = world.read("boxes")["samples"].values()
    ((label, confidence, place, model),) = sample["boxes"]
    assert (label, confidence, model) == ("traffic cone", 0.75, "finder:boxes")
    assert place == pytest.approx([0.25, 0.5, 0.125, 0.375])
    assert sample["exit_reason"] == verdict["exit_reason"]
    assert sample["opinions"]["finder:boxes"] is not None


def test_the_state_of_a_service_brings_places_feedback_and_kept_pictures(world: World, tmp_path: Path) -> None:
    pictures = [(world.folder / "scenes" / f"{number:05d}.jpg").read_bytes() for number in range(4)]
    service = ServiceProcess(tmp_path, "--workers", "1").start()
    try:
        with service.client() as client:
            post = lambda content, **options: client.post(  # noqa: E731  # short
                "/v1/infer", content=content, params=options, headers={"Content-Type": "image/jpeg"}
            ).json()
            first = post(pictures[0], keep="true", place="48.137,11.575")
            second = post(pictures[1], keep="true")
            third = post(pictures[2], name=str(world.folder / "scenes" / "00002.jpg"))
            post(pictures[3])  # neither kept nor named: it cannot be shown
            said = client.post("/v1/feedback", json={"verdict_id": second["verdict_id"], "label": True, "note": "dug"})
            assert said.status_code == 201
    finally:
        service.stop()

    told = world.made(service.state, "--name", "served")

    assert (told["read"], told["missing"], told["added"]) == (4, 1, 3)
    assert told["evaluation"]["labelled"] == 1
    samples = {sample["verdict_id"]: sample for sample in world.read("served")["samples"].values()}
    for answer in (first, second, third):
        sample = samples[answer["verdict_id"]]
        assert (sample["sha256"], sample["exit_level"]) == (answer["sha256"], answer["exit_level"])
        assert sample["verdict"][1:] == [answer["confidence"], answer["probability"]]
        assert sample["judged"][:19].replace(" ", "T") == answer["created"][:19]
    assert samples[first["verdict_id"]]["place"] == [11.575, 48.137]
    assert Path(samples[first["verdict_id"]]["filepath"]).is_relative_to(service.state / "pictures")
    assert [samples[answer["verdict_id"]]["truth"] for answer in (first, second, third)] == [None, "roadwork", None]
    assert Path(samples[third["verdict_id"]]["filepath"]) == world.folder / "scenes" / "00002.jpg"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--database", "mongodb://me:secret@127.0.0.1:9"), "no database answers at mongodb://***@127.0.0.1:9"),
        (("--name", "theirs"), "the data set 'theirs' was not made by this program"),
        (("--pictures", "/"), f"none of the {COUNT} pictures is there"),
        (("--export", "."), "is there already"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(world: World, arguments: tuple[str, ...], message: str) -> None:
    world.script(
        "import fiftyone as fo; fo.dataset_exists('theirs') or fo.Dataset('theirs', persistent=True); print(1)"
    )
    results = world.folder / "scan.jsonl" if "--pictures" not in arguments else elsewhere(world)
    pictures = () if "--pictures" in arguments else ("--pictures", world.folder / "scenes")
    done = world.run(results, *pictures, *arguments, code=2)
    assert message in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def elsewhere(world: World) -> Path:
    """The results, where no pictures lie beside them."""
    folder = world.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(world.results, folder / "scan.jsonl"))


def test_without_a_database_it_says_what_to_do(world: World) -> None:
    variables = {name: value for name, value in world.variables.items() if name != "FIFTYONE_DATABASE_URI"}
    code = "import fiftyone as fo; fo.list_datasets()"
    brings = subprocess.run([servers.fiftyone_python(), "-c", code], capture_output=True, env=variables, check=False)
    if brings.returncode == 0:
        pytest.skip("this FiftyOne brings a mongod that runs here")
    done = World(world.folder, variables).run(world.results, "--pictures", world.folder / "scenes", code=2)
    assert "FiftyOne brings no mongod that runs on this system: start one" in done.stderr


def test_the_app_is_served_on_loopback_until_it_is_interrupted(world: World, ask: Callable[[str], bytes]) -> None:
    port = free_port()
    options = ("--pictures", world.folder / "scenes", "--name", "shown", "--launch", "--port", port, "--json")
    command = world.command(world.results, *map(str, options))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=world.variables, start_new_session=True
    ) as child:
        assert child.stdout is not None
        made, told = json.loads(child.stdout.readline()), json.loads(child.stdout.readline())
        page = ask(told["url"])
        taken = world.run(world.results, *map(str, options), code=2)
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert made["dataset"] == "shown"
    assert told["url"] == f"http://127.0.0.1:{port}/datasets/shown"
    assert b"FiftyOne" in page
    assert f"something answers on 127.0.0.1:{port} already" in taken.stderr
    assert child.returncode == 0, said
    with pytest.raises(OSError, match="refused"):
        ask(told["url"])


@pytest.fixture
def ask() -> Callable[[str], bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(url: str) -> bytes:
        with opener.open(url, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    return get
