"""Spec objects survive the way through plain data, JSON and YAML; the bundle is what its sources say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import calibrators, cards, cascades, exit_rules, inputs, levels, members, outputs, policies, weights

from natix_cascade.spec import library
from natix_cascade.spec.build import build, plain
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.endpoints import Endpoints
from natix_cascade.spec.files import read_spec, validate
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.prompt import PromptSpec

KINDS = st.one_of(cards, cascades, policies, inputs, outputs, weights, members, levels, calibrators, exit_rules)
law = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@law
@given(KINDS)
def test_build_is_the_inverse_of_plain(spec: Any) -> None:
    assert build(type(spec), plain(spec)) == spec


@law
@given(KINDS)
def test_through_json_and_validation_it_stays_the_same(spec: Any) -> None:
    data = json.loads(json.dumps(plain(spec), allow_nan=False))
    assert build(type(spec), data) == spec
    assert validate(type(spec), data) == spec


class Quoting(yaml.SafeDumper):
    """Writes strings in quotes: PyYAML writes 0E0 without, which is a number by YAML 1.2."""


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@law
@given(st.one_of(cards, cascades, policies), st.sampled_from(["it.json", "it.yaml"]), st.integers(0, 1))
def test_through_files_it_stays_the_same(
    tmp_path_factory: pytest.TempPathFactory, spec: Any, name: str, raw: int
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    data = plain(spec)
    if name.endswith("json"):
        path.write_text(json.dumps(data, ensure_ascii=bool(raw)), "utf-8")
    else:
        path.write_text(yaml.dump(data, Dumper=Quoting, allow_unicode=bool(raw)), "utf-8")
    assert read_spec(path, type(spec)) == spec


def test_what_equals_its_default_is_left_out_but_tags_stay() -> None:
    data = {"name": "a", "cascade": "b", "levels": {"x": {"exit": {"rule": "window"}}}}
    assert plain(validate(Policy, data)) == data


def test_the_bundle_is_what_the_sources_say() -> None:
    if not library._BUNDLE.is_file():
        pytest.skip("src/natix_cascade/spec/bundle.json has not been written yet")
    assert library.bundle() == library.read_sources()
    for shipped in library.bundle().cascades.values():
        library.load_cascade(shipped)


def accepts(schema: dict[str, Any], data: Any, root: dict[str, Any]) -> bool:  # noqa: PLR0911  # a case for each keyword
    """A light JSON-schema check: what pydantic writes for these types."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return any(accepts(each, data, root) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return data in schema.get("enum", [schema.get("const")])
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "number": (int, float),
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    if not isinstance(data, kinds[schema["type"]]):
        return False
    if schema["type"] == "object":
        known, extra = schema.get("properties", {}), schema.get("additionalProperties", False)
        return set(schema.get("required", ())) <= set(data) and all(
            accepts(known[key], item, root) if key in known else bool(extra) and accepts(extra, item, root)
            for key, item in data.items()
        )
    if schema["type"] == "array":
        prefix = schema.get("prefixItems", [])
        kinds_of_items = prefix or [schema["items"]] * len(data)
        return len(data) >= schema.get("minItems", 0) and all(map(accepts, kinds_of_items, data, [root] * len(data)))
    if schema["type"] in {"number", "integer"}:
        return (
            schema.get("minimum", data) <= data <= schema.get("maximum", data)
            and data > schema.get("exclusiveMinimum", -math.inf)
            and data < schema.get("exclusiveMaximum", math.inf)
        )
    return True


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[type, dict[str, Any]]:
    written = library.write_json_schema(tmp_path_factory.mktemp("made") / "new")
    kinds = {"card": ModelCard, "cascade": CascadeSpec, "policy": Policy, "prompt": PromptSpec, "endpoints": Endpoints}
    assert [path.name for path in written] == [f"{name}.schema.json" for name in kinds]
    return {kind: json.loads(path.read_text()) for kind, path in zip(kinds.values(), written, strict=True)}


@law
@given(spec=st.one_of(cards, cascades, policies), wrong=st.sampled_from(["nothing", "unknown", "missing"]))
def test_schemas_accept_what_validates(schemas: dict[type, dict[str, Any]], spec: Any, wrong: str) -> None:
    schema, data = schemas[type(spec)], json.loads(json.dumps(plain(spec)))
    if wrong == "unknown":
        data["nonsense"] = 1
    if wrong == "missing":
        del data["name"]
    assert accepts(schema, data, schema) == (wrong == "nothing")


def test_schemas_accept_the_shipped_files(schemas: dict[type, dict[str, Any]]) -> None:
    here = Path(library.__file__).parent
    files = [
        *((path, ModelCard) for path in (here / "catalogue").glob("*.yaml")),
        *((path, CascadeSpec) for path in (here / "cascades").glob("*.yaml")),
        *((path, Policy) for path in (here / "policies").glob("*.json")),
        *((path, PromptSpec) for path in (here / "prompts").glob("*.yaml")),
    ]
    if not files:
        pytest.skip("no cards, cascades or policies are shipped yet")
    for path, kind in files:
        assert accepts(schemas[kind], json.loads(json.dumps(plain(read_spec(path, kind)))), schemas[kind]), path
