from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.errors import SecretError
from natix_cascade.secrets import SecretRef, is_reference


@pytest.mark.parametrize(
    ("text", "scheme", "place", "key"),
    [
        ("vault:natix/huggingface#token", "vault", "natix/huggingface", "token"),
        ("vault:secret/cascade/db#password", "vault", "secret/cascade/db", "password"),
        (" env:VLM_KEY ", "env", "VLM_KEY", ""),
        ("file:/run/secrets/a b#c", "file", "/run/secrets/a b#c", ""),
        ("file:~/key", "file", "~/key", ""),
    ],
)
def test_references_are_read_and_written(text: str, scheme: str, place: str, key: str) -> None:
    ref = SecretRef.parse(text)
    assert (ref.scheme, ref.place, ref.key) == (scheme, place, key)
    assert str(ref) == text.strip()
    assert repr(ref) == f"SecretRef({text.strip()!r})"
    assert SecretRef.parse(str(ref)) == ref
    assert pickle.loads(pickle.dumps(ref)) == ref  # noqa: S301  # as options go to workers
    assert is_reference(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sk-12345", "by reference, not as a plain value"),
        ("", "by reference"),
        ("redis://:sk-12345@host", "by reference"),
        ("Env:sk-12345", "by reference"),
        ("env:sk-12345", "name of a variable"),
        ("env:", "name of a variable"),
        ("file:sk-12345", "whole path"),
        ("file:", "whole path"),
        ("file:/a\nb", "whole path"),
        ("vault:sk-12345#x", "a mount and a path|the mount and a path"),
        ("vault:natix/sk-12345", "the key behind a #"),
        ("vault:natix/sk-12345#", "the key behind a #"),
        ("vault:/natix/a#x", "mount and a path"),
        ("vault:natix/../sys/a#x", "mount and a path"),
        ("vault:natix/a?version=1#x", "mount and a path"),
        ("vault:natix/a/#x", "mount and a path"),
        ("vault:natix/a#x#y", "the key behind a #"),
    ],
)
def test_what_is_no_reference_is_refused_and_not_repeated(text: str, says: str) -> None:
    with pytest.raises(SecretError, match=says) as caught:
        SecretRef.parse(text)
    assert "write env:NAME, file:PATH or vault:PATH#KEY" in str(caught.value)
    assert "sk-12345" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        ref = SecretRef.parse(text)
    except SecretError as error:
        assert len(text) < 8 or text not in str(error)  # noqa: PT017
    else:
        assert SecretRef.parse(str(ref)) == ref
        assert is_reference(text)
