from __future__ import annotations

import base64
import json
import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.errors import CascadeError
from natix_cascade.serve.key_file import KeyFile, Scope, create, revoke, rotate
from natix_cascade.serve.keys import Keys, key_from_headers

LOOKS = 1.0  # seconds between two looks at the file


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.day = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.day


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secret" / "keys.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keys_of(file: Path, clock: Clock) -> Keys:
    return Keys(file, clock=clock, now=clock.now)


def broken(text: str) -> list[str]:
    """Texts near a key that are not it."""
    head, name, secret = text.split("_", 2)
    other = "0" * 8 if name != "0" * 8 else "1" * 8
    swapped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    return [
        "",
        text[:-1],
        text + "A",
        text + "\n",
        f" {text}",
        f"{head}_{other}_{secret}",
        f"{head}_{name}_{swapped}",
        f"{head}_{name}_",
        f"{head}_{name.upper()}_{secret}" if name.upper() != name else "x",
        f"key_{name}_{secret}",
        "ключ",
        "\ud800",
        "n" * 100_000,
    ]


def test_only_the_key_itself_is_right(file: Path) -> None:
    made, text = create(file, ("infer",))
    create(file, ("admin",))
    keys = Keys(file)
    found = keys.check(text)
    assert found == made
    assert [wrong for wrong in broken(text) if keys.check(wrong) is not None] == []


@given(st.text())
def test_no_text_breaks_the_check(text: str) -> None:
    assert Keys(None).check(text) is None


def test_an_empty_list_refuses_all_and_no_file_wants_none(file: Path) -> None:
    _, text = create(file, ("infer",))
    KeyFile().write(file)
    assert Keys(file).check(text) is None
    assert Keys(file).required
    assert not Keys(None).required


def test_the_stand_in_for_unknown_ids_is_no_key(file: Path) -> None:
    create(file, ("infer",))
    keys = Keys(file)
    assert keys.check(f"nck_{keys._nobody.id}_{'A' * 43}") is None
    assert keys.check(keys._nobody.sha256) is None


@pytest.mark.parametrize(
    ("scopes", "opened"),
    [
        (("infer",), {"infer"}),
        (("metrics",), {"metrics"}),
        (("admin",), {"admin", "infer"}),
        (("infer", "metrics"), {"infer", "metrics"}),
    ],
)
def test_scopes(file: Path, scopes: tuple[Scope, ...], opened: set[str]) -> None:
    key, _ = create(file, scopes)
    every: tuple[Scope, ...] = ("infer", "admin", "metrics")
    assert {scope for scope in every if key.opens(scope)} == opened


def test_the_file_holds_no_key_and_is_the_owners(file: Path) -> None:
    made, text = create(file, ("infer",))
    assert text.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.sha256 not in repr(made)
    assert [item.name for item in file.parent.iterdir()] == ["keys.json"]


def test_a_key_expires(file: Path, clock: Clock) -> None:
    _, text = create(file, ("infer",), lifetime=timedelta(days=90))
    keys = keys_of(file, clock)
    made = KeyFile.read(file).keys[0]
    assert made.expires is not None
    clock.day = made.expires - timedelta(seconds=1)
    assert keys.check(text) is not None
    clock.day = made.expires
    assert keys.check(text) is None


def test_changes_are_seen_at_the_next_look(file: Path, clock: Clock) -> None:
    first, text = create(file, ("infer",))
    keys = keys_of(file, clock)
    _, second = create(file, ("infer",))
    assert keys.check(second) is None  # looked less than a second ago
    clock.seconds += LOOKS
    assert keys.check(second) is not None
    revoke(file, first.id)
    clock.seconds += LOOKS / 2
    assert keys.check(text) is not None
    clock.seconds += LOOKS / 2
    assert keys.check(text) is None


def test_a_change_of_the_same_size_and_time_is_seen(file: Path, clock: Clock) -> None:
    import os

    _, text = create(file, ("infer",))
    keys = keys_of(file, clock)
    before = file.stat()
    old = KeyFile.read(file).keys[0]
    KeyFile(keys=(type(old)(id=old.id, sha256="0" * 64, scopes=old.scopes, created=old.created),)).write(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    clock.seconds += LOOKS
    assert keys.check(text) is None


@pytest.mark.parametrize("damage", ["gone", "empty", "half", "not json", "a folder", "wrong scope", "twice"])
def test_a_broken_file_keeps_the_last_good_one_and_says_so_once(
    file: Path, clock: Clock, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = create(file, ("infer",))
    keys = keys_of(file, clock)
    whole = file.read_text()
    data = json.loads(whole)
    file.unlink()
    match damage:
        case "empty":
            file.write_text("")
        case "half":
            file.write_text(whole[: len(whole) // 2])
        case "not json":
            file.write_text("keys: [")
        case "a folder":
            file.mkdir()
        case "wrong scope":
            file.write_text(whole.replace("infer", "root"))
        case "twice":
            file.write_text(json.dumps({"keys": data["keys"] * 2}))
    with caplog.at_level(logging.INFO, "natix_cascade.keys"):
        for _ in range(5):
            clock.seconds += LOOKS
            assert keys.check(text) is not None
            assert keys.check(f"nck_{'0' * 8}_{'A' * 43}") is None
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        if file.is_dir():
            file.rmdir()
        KeyFile().write(file)
        clock.seconds += LOOKS
        assert keys.check(text) is None
        assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert text not in caplog.text


def test_a_service_does_not_start_without_its_file(file: Path) -> None:
    with pytest.raises(CascadeError, match=r"keys\.json"):
        Keys(file)


def test_a_rate_that_cannot_be_read_is_an_error_of_the_file(file: Path) -> None:
    create(file, ("infer",), rate="1/second")
    file.write_text(file.read_text().replace("1/second", "1/fortnight"))
    with pytest.raises(CascadeError, match="fortnight"):
        Keys(file)


def test_a_rotated_key_ends_no_later_than_it_would_have(file: Path) -> None:
    key, _ = create(file, ("infer",), lifetime=timedelta(hours=1))
    old, new, _ = rotate(file, key.id, grace=timedelta(days=1))
    assert old.expires == key.expires
    assert new.expires is not None
    assert new.expires - new.created == timedelta(hours=1)
    assert [item.id for item in KeyFile.read(file).keys] == [old.id, new.id]


def test_changes_at_the_same_time_lose_nothing(file: Path) -> None:
    doomed = [create(file, ("infer",))[0].id for _ in range(10)]
    with ThreadPoolExecutor(20) as pool:
        made = [pool.submit(create, file, ("infer",)) for _ in range(10)]
        gone = [pool.submit(revoke, file, name) for name in doomed]
        ids = {future.result()[0].id for future in made}
        assert {future.result().id for future in gone} == set(doomed)
    assert {key.id for key in KeyFile.read(file).keys} == ids


def test_keys_differ_and_have_256_bits(file: Path) -> None:
    texts = [create(file, ("infer",))[1] for _ in range(20)]
    secrets = {text.split("_", 2)[2] for text in texts}
    assert len(secrets) == 20
    assert {len(base64.urlsafe_b64decode(secret + "=")) for secret in secrets} == {32}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "found"),
    [
        (None, None, None),
        ("Bearer abc", None, "abc"),
        ("bearer   abc ", None, "abc"),
        (None, "abc", "abc"),
        (None, "  abc ", "abc"),
        ("Bearer abc", "def", "def"),
        ("Bearer abc", "", "abc"),
        (basic("user:abc"), None, "abc"),
        (basic(":a:b:c"), None, "a:b:c"),
        (basic("user:"), None, None),
        (basic("abc"), None, None),
        ("Basic", None, None),
        ("Basic !!!", None, None),
        ("Basic /w==", None, None),  # not UTF-8
        ("Basic é", None, None),
        ("Bearer", None, None),
        ("Bearer ", None, None),
        ("abc", None, None),
        ("Digest abc", None, None),
        ("", "", None),
    ],
)
def test_where_a_key_may_be(authorization: str | None, x_api_key: str | None, found: str | None) -> None:
    assert key_from_headers(authorization, x_api_key) == found
