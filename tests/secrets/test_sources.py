from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from natix_cascade.errors import SecretError
from natix_cascade.secrets import Secrets, shared

VALUE = "sk-verysecret-0123456789"


def test_a_variable_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with Secrets() as secrets:
        secret = secrets.open("env:A_KEY")
        with pytest.raises(SecretError, match="A_KEY is not set"):
            secret.reveal()
        assert "A_KEY is not set" in (secret.problem or "")
        monkeypatch.setenv("A_KEY", " ")
        with pytest.raises(SecretError, match="A_KEY is empty"):
            secret.reveal()
        for value in (VALUE, "another"):
            monkeypatch.setenv("A_KEY", f" {value}\n")
            assert secret.reveal() == value
        secret.invalidate()
        assert secret.problem is None
        assert (secret.facts().characters, secret.facts().source) == (7, "the environment variable A_KEY")
        assert repr(secret) == str(secret) == "<secret env:A_KEY>"
        assert secrets.open("env:A_KEY") is secret


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with Secrets() as secrets:
        secret = secrets.open(f"file:{path}")
        for value in ("one-1", "two-2", "three"):  # of one length, in one tick of the clock
            path.write_text(f"  {value}\n", "utf-8")
            assert secret.reveal() == value
        other = tmp_path / "other"
        other.write_text("four4", "utf-8")
        os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        other.replace(path)  # as Kubernetes and write_whole do it
        assert secret.reveal() == "four4"


def test_a_file_that_stays_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text(VALUE, "utf-8")
    os.utime(path, (1e9, 1e9))
    opened: list[Path] = []
    real = Path.open

    def counted(self: Path, *args: object, **options: object) -> object:
        opened.append(self)
        return real(self, *args, **options)  # type: ignore[call-overload]

    with Secrets() as secrets:
        secret = secrets.open(f"file:{path}")
        monkeypatch.setattr(Path, "open", counted)
        for _ in range(5):
            assert secret.reveal() == VALUE
        assert len(opened) == 1
        secret.invalidate()
        secret.reveal()
        assert len(opened) == 2


def test_of_a_file_with_several_lines_all_counts(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("-----BEGIN-----\nabc\n-----END-----\n", "utf-8")
    with Secrets() as secrets:
        assert secrets.open(f"file:{tmp_path}/pem").reveal() == "-----BEGIN-----\nabc\n-----END-----"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "larger than"),
    ],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with Secrets() as secrets:
        secret = secrets.open(f"file:{path}")
        with pytest.raises(SecretError, match=says) as caught:
            secret.reveal()
        assert str(path) in str(caught.value)
        assert says in (secret.problem or "")
        assert list(secrets.problems) == [f"file:{path}"]
        path.write_text(VALUE, "utf-8")
        assert secret.reveal() == VALUE
        assert secrets.problems == {}


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with Secrets() as secrets, pytest.raises(SecretError, match="Is a directory"):
        secrets.open(f"file:{tmp_path}").reveal()


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(VALUE, "utf-8")
    path.chmod(0)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with Secrets() as secrets, pytest.raises(SecretError, match="Permission denied"):
            secrets.open(f"file:{path}").reveal()
    finally:
        os.seteuid(me)


@pytest.mark.parametrize(("mode", "remarks"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_file_that_everybody_may_read_is_remarked(tmp_path: Path, mode: int, remarks: int) -> None:
    path = tmp_path / "key"
    path.write_text(VALUE, "utf-8")
    path.chmod(mode)
    with Secrets() as secrets:
        facts = secrets.open(f"file:{path}").facts()
    assert (facts.characters, len(facts.remarks)) == (len(VALUE), remarks)
    assert VALUE not in repr(facts)


def test_the_last_good_value_of_a_file_stays_and_that_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_text(VALUE, "utf-8")
    with Secrets() as secrets, caplog.at_level(logging.DEBUG):
        secret = secrets.open(f"file:{path}")
        secret.reveal()
        path.unlink()
        for _ in range(3):
            assert secret.reveal() == VALUE
        assert "No such file" in (secret.problem or "")
        assert len(caplog.records) == 1
        path.write_text("another", "utf-8")
        assert secret.reveal() == "another"
        assert secret.problem is None
        assert len(caplog.records) == 2
    assert VALUE not in caplog.text
    assert "another" not in caplog.text


def test_many_threads_see_one_whole_value_or_the_next(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("a" * 500, "utf-8")
    seen: set[str] = set()
    done = threading.Event()
    with Secrets() as secrets:

        def look() -> None:
            while not done.is_set():
                seen.add(secrets.open(f"file:{path}").reveal())

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for letter in "bcdefgh" * 10:
            new = tmp_path / "new"
            new.write_text(letter * 500, "utf-8")
            new.replace(path)
        done.set()
        for thread in threads:
            thread.join()
    assert all(len(value) == 500 and len(set(value)) == 1 for value in seen)


def test_the_secrets_of_a_process_are_the_same_until_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = shared()
    assert shared() is first
    first.close()
    assert shared() is not first
    shared().close()
    for wrong, says in (("soon", "no number"), ("0", "above 0"), ("nan", "above 0")):
        monkeypatch.setenv("NATIX_CASCADE_SECRETS_REFRESH_S", wrong)
        with pytest.raises(SecretError, match=says):
            shared()
    monkeypatch.setenv("NATIX_CASCADE_SECRETS_REFRESH_S", "5")
    shared()
