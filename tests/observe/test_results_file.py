from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from natix_cascade.decide.evidence import Box
from natix_cascade.errors import ManifestError
from natix_cascade.observe.results_file import answers
from natix_cascade.run.sinks import Row, make_sink, output_format

sys.path.insert(0, str(Path(__file__).parent))  # for made_verdicts.py: test folders are not packages
from made_verdicts import answer, made

ROWS = [
    Row.of_verdict("a.jpg", made("a.jpg", 0.9, boxes=(Box("cone", 0.7, 0.1, 0.2, 0.3, 0.6),))),
    Row.of_verdict('b, "or" c\n.jpg', made("b.jpg", 0.1, degraded=False)),
    Row.of_error("d.jpg", "truncated", kind="CorruptPictureError", status=422, sha256=None, cascade="c@1", policy="p"),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_what_a_scan_writes_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    sink = make_sink(output_format(path), "roadwork")
    part = tmp_path / f"part{suffix}"
    part.write_bytes(sink.encode(ROWS))
    with path.open("wb") as file:
        sink.join([part], file)

    found = list(answers(path))

    assert [line.name for line in found] == [row.path for row in ROWS]
    assert found[2].verdict is None
    for line, row in zip(found[:2], ROWS[:2], strict=True):
        verdict = line.verdict
        assert verdict is not None
        assert verdict.question == "roadwork"
        assert {o.model: o.probability for o in verdict.opinions} == row.model_probabilities
        for name in ("sha256", "detected", "probability", "confidence", "consensus_ratio", "exit_level", "degraded"):
            assert getattr(verdict, name) == getattr(row, name)
        for name in ("levels_executed", "latency_ms", "cost_usd", "gmacs", "reasons", "cascade", "policy"):
            assert getattr(verdict, name) == getattr(row, name)


@pytest.mark.parametrize(
    "text",
    [
        "{a}",
        "{a_indented}",
        "{a}\n{b}\n",
        "[{a}, {b}]",
        '{{"verdicts": [{a}, {b}], "next": null}}',
        '{{\n"verdicts": [{a}, {b}], "next": null}}',
    ],
)
def test_full_verdicts_keep_their_boxes(tmp_path: Path, text: str) -> None:
    box = Box("cone", 0.7, 0.1, 0.2, 0.3, 0.6)
    first, second = made("a.jpg", boxes=(box,)).as_dict(), answer("f" * 32, made("b.jpg", 0.2))
    path = tmp_path / "verdicts.json"
    path.write_text(
        text.format(a=json.dumps(first), b=json.dumps(second), a_indented=json.dumps(first, indent=2)), "utf-8"
    )

    found = list(answers(path))

    assert [line.name for line in found] == ["a.jpg", "b.jpg"][: len(found)]
    assert len(found) == 1 + ("{b}" in text)
    assert found[0].verdict is not None
    assert found[0].verdict.opinions[0].evidence is not None
    assert found[0].verdict.opinions[0].evidence.boxes == (box,)
    assert found[0].verdict.exit_reason == "last_level"
    assert [line.answer.get("verdict_id") for line in found[1:]] in ([], ["f" * 32])


def test_a_line_of_detect_that_failed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "v.ndjson"
    failed = {"id": "x.jpg", "error": "not a picture", "kind": "UnsupportedFormatError", "status": 415}
    path.write_text(json.dumps(failed) + "\n", "utf-8")
    assert [(line.name, line.verdict) for line in answers(path)] == [("x.jpg", None)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"path": "a.jpg", "sha256": "0"}\n', r"x\.jsonl:1: this is no verdict .* scan"),
        ("x.jsonl", '{"path": "a.jpg"', "this is no JSON"),
        ("x.jsonl", '{"id": "a", "error": "e"}\nnonsense\n', r"x\.jsonl:2: this is no JSON"),
        ("x.json", "[1, 2]", "verdict 1: this is no verdict"),
        ("x.csv", "path,label\na.jpg,1\n", r"x\.csv:2: this is no verdict"),
        ("x.csv", "path,roadwork_detected\na.jpg,maybe\n", "this is no row of a scan"),
        ("x.parquet", "PAR0", "not Parquet"),
        ("x.jsonl", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ManifestError, match=message):
        list(answers(tmp_path / name))


def test_an_absent_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        list(answers(tmp_path / "none.jsonl"))
