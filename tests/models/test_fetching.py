"""Fetching with the real client of the hub from a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_hub import Hub, Repo, local_hub, safetensors

from natix_cascade.errors import ModelError
from natix_cascade.models.fetching import one_at_a_time

pytest.importorskip("huggingface_hub", reason="the hub extra is not installed")

OLD, NEW = "a" * 40, "b" * 40
BIG = safetensors(w=(2, 3_000_000))  # 24 MB: two and a half of the client's chunks
SMALL = safetensors(w=(2, 3))
FILES = {"config.json": b'{"model_type": "tiny"}', "model.safetensors": SMALL, "deep/vocab.txt": b"a\nb\n"}

Run = Callable[..., "tuple[int, list[dict[str, Any]], str]"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    later = FILES | {"model.safetensors": safetensors(w=(2, 4))}
    with local_hub(
        {
            "house/tiny": Repo(
                {OLD: FILES | {"old.txt": b"old"}, NEW: later | {"pytorch_model.bin": b"x", "a.py": b""}}
            ),
            "house/big": Repo({OLD: {"a.safetensors": SMALL, "b.safetensors": BIG}}),
            "house/gated": Repo({OLD: FILES}, gated=True),
            "house/pickled": Repo({OLD: {"config.json": b"{}", "pytorch_model.bin": b"cos\nsystem\n"}}),
            "house/broken": Repo({OLD: {"model.safetensors": SMALL[:-1]}}),
        }
    ) as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, hub: Hub) -> Run:
    (tmp_path / "cards").mkdir()

    def call(*arguments: str, env: dict[str, str] | None = None, cards: dict[str, dict[str, Any]] | None = None) -> Any:
        for name, source in (cards or {}).items():
            card = {"name": name, "licence": "MIT", "engine": "transformers", "input": {"height": 8, "width": 8}}
            (tmp_path / "cards" / f"{name}.yaml").write_text(yaml.safe_dump(card | {"source": source}), "utf-8")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        settings = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NATIX_CASCADE_MODELS": str(tmp_path / "models"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "natix_cascade", "models", *arguments, "--cards", str(tmp_path / "cards"), "--json"],
            env=clean | settings | (env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else [], done.stderr

    return call


def test_a_model_comes_whole_pinned_and_listed(run: Run, hub: Hub, tmp_path: Path) -> None:
    code, told, err = run("fetch", "tiny", cards={"tiny": {"identifier": "house/tiny"}})
    assert (code, err) == (0, "")
    assert (told[0]["status"], told[0]["commit"]) == ("fetched", NEW)
    place = tmp_path / "models" / "tiny"
    manifest = json.loads((place / "manifest.json").read_text("utf-8"))
    assert (manifest["identifier"], manifest["commit"]) == ("house/tiny", NEW)
    there = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    del there["manifest.json"]
    assert there == {name: content for name, content in hub.repos["house/tiny"].commits[NEW].items() if name in FILES}
    assert {entry["file"]: (entry["bytes"], entry["sha256"]) for entry in manifest["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in there.items()
    }
    lock = json.loads((tmp_path / "models" / "models.lock.json").read_text("utf-8"))
    assert lock["models"] == {"tiny": {"identifier": "house/tiny", "commit": NEW}}
    assert not any("pytorch_model.bin" in path or path.endswith("a.py") for _, path, _ in hub.requests)


def test_what_is_here_needs_no_hub_and_verifies(run: Run, hub: Hub, tmp_path: Path) -> None:
    run("fetch", "tiny", cards={"tiny": {"identifier": "house/tiny"}})
    asked = len(hub.requests)
    code, told, _ = run("fetch", "tiny", env={"HF_HUB_OFFLINE": "1"})
    assert (code, told[0]["status"], len(hub.requests)) == (0, "here", asked)
    code, told, _ = run("verify", "tiny")
    assert (code, told[0]["status"], told[0]["says"]) == (0, "ok", "3 files")
    weights = tmp_path / "models" / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    (weights.parent / "added.txt").write_text("", "utf-8")
    (weights.parent / "config.json").unlink()
    assert run("verify", "tiny", "--quick")[1][0]["changed"] == []
    code, told, _ = run("verify", "tiny")
    assert (code, told[0]["status"]) == (1, "failed")
    assert (told[0]["missing"], told[0]["changed"]) == (["tiny/config.json"], ["tiny/model.safetensors"])
    assert told[0]["extra"] == ["tiny/added.txt"]
    assert run("fetch", "tiny")[1][0]["status"] == "fetched"  # a file is gone: then all are looked at
    assert run("verify", "tiny")[0] == 0
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert run("fetch", "tiny")[1][0]["status"] == "here"  # sizes agree
    assert run("fetch", "tiny", "--check")[1][0]["status"] == "fetched"
    assert run("verify", "tiny")[0] == 0


def test_a_pinned_commit_stays_until_it_is_updated(run: Run, tmp_path: Path) -> None:
    card = {"tiny": {"identifier": "house/tiny", "revision": OLD}}
    assert run("fetch", "tiny", cards=card)[1][0]["commit"] == OLD
    free = {"tiny": {"identifier": "house/tiny"}}
    assert run("fetch", "tiny", cards=free)[1][0] | {"bytes": 0} == {
        "model": "tiny",
        "status": "here",
        "commit": OLD,
        "bytes": 0,
    }
    shutil.rmtree(tmp_path / "models" / "tiny")  # the lock alone: as on another machine
    assert run("fetch", "tiny")[1][0]["commit"] == OLD
    assert (tmp_path / "models" / "tiny" / "old.txt").is_file()
    told = run("fetch", "tiny", "--update")[1][0]
    assert (told["status"], told["commit"]) == ("fetched", NEW)
    assert not (tmp_path / "models" / "tiny" / "old.txt").exists()
    code, verified, _ = run("verify", "tiny", cards=card)
    assert (code, verified[0]["status"]) == (1, "failed")
    assert f"pinned at {OLD[:12]}" in verified[0]["problem"]


def test_a_broken_connection_goes_on_where_it_broke(run: Run, hub: Hub, tmp_path: Path) -> None:
    hub.cut["b.safetensors"] = [15_000_000]
    code, told, _ = run("fetch", "big", cards={"big": {"identifier": "house/big"}})
    assert (code, told[0]["status"]) == (0, "fetched")
    assert hub.got("b.safetensors") == [None, "bytes=10485760-"]
    assert (tmp_path / "models" / "big" / "b.safetensors").read_bytes() == BIG


def test_a_fetch_that_was_given_up_is_unfinished_and_goes_on(run: Run, hub: Hub, tmp_path: Path) -> None:
    hub.cut["b.safetensors"] = [0] * 7  # the client tries six times
    code, told, err = run("fetch", "big", cards={"big": {"identifier": "house/big"}})
    assert (code, told) == (2, [])
    assert err.startswith("error: the hub at http://127.0.0.1")
    assert err.count("\n") == 1
    assert not (tmp_path / "models" / "big" / "manifest.json").exists()
    listed = {card["name"]: card["weights_here"] for card in run("list")[1]}
    assert listed["big"] == {"ready": False, "base": "unfinished", "trained": ""}
    assert run("verify", "big")[1][0]["status"] == "missing"
    stale = tmp_path / "models" / "big" / ".cache" / "huggingface" / "download" / "x.incomplete"
    stale.write_bytes(b"of a killed process")
    hub.cut.clear()
    before = len(hub.got("a.safetensors"))
    assert run("fetch", "big")[1][0]["status"] == "fetched"
    assert len(hub.got("a.safetensors")) == before == 1
    assert not (tmp_path / "models" / "big" / ".cache").exists()


def test_a_gated_repository_is_explained(run: Run, hub: Hub) -> None:
    card = {"gated": {"identifier": "house/gated", "gated": True}}
    code, told, _ = run("fetch", "gated", cards=card)
    assert (code, told[0]["status"]) == (1, "failed")
    assert f"accept its licence (MIT) at {hub.url}/house/gated, then set HF_TOKEN" in told[0]["problem"]
    assert run("fetch", "gated", env={"HF_TOKEN": hub.token})[1][0]["status"] == "fetched"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"identifier": "house/none"}, "no repository house/none"),
        ({"identifier": "house/tiny", "revision": "c" * 40}, f"house/tiny has no revision {'c' * 40}"),
        ({"identifier": "house/pickled"}, "pytorch_model.bin would run code when loaded and is never fetched"),
        ({"identifier": "house/pickled", "files": ["*"]}, "never fetched"),
        ({"identifier": "house/broken"}, "not a whole safetensors file"),
    ],
)
def test_what_cannot_be_fetched_is_said_and_others_still_come(run: Run, source: dict[str, Any], says: str) -> None:
    cards = {"bad": source, "tiny": {"identifier": "house/tiny"}}
    code, told, _ = run("fetch", "bad", "tiny", cards=cards)
    by_name = {one["model"]: one for one in told}
    assert (code, by_name["bad"]["status"], by_name["tiny"]["status"]) == (1, "failed", "fetched")
    assert says in by_name["bad"]["problem"]


@pytest.mark.parametrize("file", ["b.safetensors", "a.safetensors"])  # with the hub's sha256, and with git's
def test_what_is_not_what_the_hub_says_is_deleted(run: Run, hub: Hub, tmp_path: Path, file: str) -> None:
    content = hub.repos["house/big"].commits[OLD][file]
    hub.lies[file] = content[:-1] + b"\x01"
    code, told, _ = run("fetch", "big", cards={"big": {"identifier": "house/big"}})
    assert (code, told[0]["status"]) == (1, "failed")
    assert f"{file} is not what the hub's checksum says" in told[0]["problem"]
    assert not (tmp_path / "models" / "big" / file).exists()
    assert not (tmp_path / "models" / "big" / "manifest.json").exists()
    hub.lies.clear()
    assert run("fetch", "big")[1][0]["status"] == "fetched"
    assert (tmp_path / "models" / "big" / file).read_bytes() == content


@pytest.mark.parametrize("env", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_offline_is_one_line(run: Run, env: dict[str, str]) -> None:
    code, told, err = run("fetch", "tiny", cards={"tiny": {"identifier": "house/tiny"}}, env=env)
    assert (code, told, err.count("\n")) == (2, [], 1)
    assert "offline" in err or "cannot be reached" in err


def test_files_that_no_fetch_brought_are_left_alone(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "models" / "tiny" / "model.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    code, told, _ = run("fetch", "tiny", cards={"tiny": {"identifier": "house/tiny"}})
    assert (code, own.read_bytes()) == (1, b"mine")
    assert "holds files that were not fetched" in told[0]["problem"]


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    from natix_cascade.models.fetching import FetchOptions, fetch_models
    from natix_cascade.testing import make_card

    for name in ("../up", "/etc", "custom", ".hidden", "a/b"):
        (told,) = fetch_models([_from_hub(make_card(name), "house/tiny")], tmp_path / "models", FetchOptions())
        assert told.status == "failed"
        assert "cannot be that of a folder" in told.problem


def test_a_killed_process_leaves_an_unfinished_folder_that_is_finished_later(
    run: Run, hub: Hub, tmp_path: Path
) -> None:
    run("list", cards={"big": {"identifier": "house/big"}})  # writes the card
    hub.hold["b.safetensors"] = threading.Event()
    command = [sys.executable, "-m", "natix_cascade", "models", "fetch", "big", "--workers", "1"]
    env = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path),
        "NATIX_CASCADE_MODELS": str(tmp_path / "models"),
    }
    with subprocess.Popen([*command, "--cards", str(tmp_path / "cards")], env=env) as process:
        deadline = time.monotonic() + 60
        while not hub.got("b.safetensors"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    hub.hold.pop("b.safetensors").set()
    assert run("verify", "big")[1][0]["status"] == "missing"
    assert run("fetch", "big")[1][0]["status"] == "fetched"
    assert len(hub.got("a.safetensors")) == 1
    assert (tmp_path / "models" / "big" / "b.safetensors").read_bytes() == BIG


def test_space_is_checked_before_anything_is_fetched(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from natix_cascade.models import fetching
    from natix_cascade.models.hub import HubFile, Repository
    from natix_cascade.testing import make_card

    repository = Repository("house/huge", OLD, (HubFile("model.safetensors", 10**15),))
    monkeypatch.setattr(fetching, "look_up", lambda *_: repository)
    card = _from_hub(make_card("huge"), "house/huge")
    with pytest.raises(ModelError, match=r"huge need 1,000,000\.0 GB more in .* are free; fetch fewer"):
        list(fetching.fetch_models([card], tmp_path, fetching.FetchOptions()))
    assert not (tmp_path / "huge").exists()
    assert hub.requests == []


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with one_at_a_time(tmp_path), pytest.raises(ModelError, match="another process"), one_at_a_time(tmp_path):
        pass
    with one_at_a_time(tmp_path):
        pass


def _from_hub(card: Any, identifier: str) -> Any:
    from dataclasses import replace

    from natix_cascade.spec.origin import Source

    return replace(card, weights=None, source=Source(identifier=identifier))
