"""``natix-cascade serve --otlp --keep-share``: over a file's table, not instead of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from natix_cascade.cli.app import app
from natix_cascade.cli.serve import _observed, _options
from natix_cascade.errors import SpecError
from natix_cascade.observe.options import ObserveOptions, TraceOptions

FILE = """
[observe]
share = 0.5
remarkable_per_s = 3.0
[observe.traces]
url = "http://collector:4318/v1/traces"
project = "roads"
headers = {authorization = "Bearer env:KEY"}
"""


def observed(tmp_path: Path, text: str | None, otlp: str | None, share: float | None) -> ObserveOptions:
    path = tmp_path / "serve.toml"
    if text is not None:
        path.write_text(text)
    return _observed(_options(path if text is not None else None, {}, None), otlp, share).observe


def test_without_a_file(tmp_path: Path) -> None:
    assert observed(tmp_path, None, None, None) == ObserveOptions()
    found = observed(tmp_path, None, "http://127.0.0.1:4318", 0.25)
    assert found == ObserveOptions(share=0.25, traces=TraceOptions(url="http://127.0.0.1:4318/v1/traces"))
    assert found.elsewhere


def test_what_is_given_wins_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    assert observed(tmp_path, FILE, None, None).share == 0.5
    assert observed(tmp_path, FILE, None, 0.0).share == 0.0
    found = observed(tmp_path, FILE, "https://other:4318/", 0.1)
    assert (found.share, found.remarkable_per_s) == (0.1, 3.0)  # the default's own value counts as given
    assert found.traces == TraceOptions(
        url="https://other:4318/v1/traces", project="roads", headers={"authorization": "Bearer env:KEY"}
    )


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://host:6006/v1/traces", "http://host:6006/v1/traces"),
        ("https://host/otlp/v1/traces?tenant=1", "https://host/otlp/v1/traces?tenant=1"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_a_path_is_put_only_where_there_is_none(tmp_path: Path, given: str, url: str) -> None:
    traces = observed(tmp_path, None, given, None).traces
    assert traces is not None
    assert traces.url == url


@pytest.mark.parametrize("given", ["localhost:4317", "grpc://host:4317", "host", "http://", "http:///v1/traces", ""])
def test_what_is_no_address_is_said_at_once(given: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--otlp", given])
    assert result.exit_code != 0
    assert "--otlp" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "x"])
def test_a_share_is_between_none_and_all(share: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--keep-share", share])
    assert result.exit_code != 0
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ('[observe.traces]\nurl = "http://c:4318"\nheaders = {a = "Bearer sk-literal"}', "observe.traces: headers.a"),
        ('[observe.phoenix]\nurl = "http://p:6006"\napi_key = "sk-literal"', "observe.phoenix: api_key"),
        ('[observe.weave]\nproject = "e/p"\napi_key = "sk-literal"', "observe.weave: api_key"),
        (
            '[observe.traces]\nurl = "http://c:4318"\nheader = {a = "Bearer sk-literal"}',
            "observe.traces.header: unknown key",
        ),
    ],
)
def test_a_key_in_the_file_itself_is_refused_before_anything_starts(tmp_path: Path, table: str, where: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(table)
    with pytest.raises(SpecError) as caught:
        _options(path, {}, None)
    assert str(caught.value).startswith(f"{path}: {where}")
    assert "sk-literal" not in str(caught.value)
    assert "\n" not in str(caught.value)
