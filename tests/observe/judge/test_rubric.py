from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from natix_cascade.errors import SpecError
from natix_cascade.observe.judge.rubric import load_rubric, shipped_rubrics

OWN = """
name: holes
about: potholes
question: Is there a pothole?
"yes": there is a pothole
"no": there is none
rules: You look at roads.
criteria:
  - {name: depth, text: It is a hole and no stain., weight: 2}
right: As a mason would say.
abstain: When it is dark.
"""


@pytest.mark.parametrize("name", shipped_rubrics())
def test_shipped_ones_can_be_read(name: str) -> None:
    rubric = load_rubric(name)
    assert (rubric.name, rubric.about) == (name, "roadwork")
    assert rubric.blind is name.endswith("blind")


def test_any_change_changes_the_digest() -> None:
    rubric = load_rubric("roadwork")
    assert len(rubric.digest) == 16
    assert rubric.title == "roadwork@1"
    others = [
        replace(rubric, right="always"),
        replace(rubric, blind=True),
        replace(rubric, criteria=rubric.criteria[:2]),
    ]
    assert len({rubric.digest, *(each.digest for each in others)}) == 4


def test_one_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "holes.yaml"
    file.write_text(OWN)
    rubric = load_rubric(file)
    assert (rubric.title, rubric.criteria[0].weight) == ("holes@1", 2.0)
    file.write_text("# a remark\n" + OWN)
    assert load_rubric(str(file)).digest == rubric.digest  # the judge is not told of it


@pytest.mark.parametrize(
    ("change", "problem"),
    [(("weight: 2", "weight: 0"), "weight"), (("about", "abouts"), "abouts"), (("{name", "{nme"), "nme")],
)
def test_problems_are_told_with_file_and_key(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    file = tmp_path / "holes.yaml"
    file.write_text(OWN.replace(*change))
    with pytest.raises(SpecError, match=rf"holes\.yaml:\d+: .*{problem}"):
        load_rubric(file)


def test_one_that_is_nowhere() -> None:
    with pytest.raises(SpecError, match="neither a file nor one of roadwork, roadwork-blind"):
        load_rubric("nothing")
