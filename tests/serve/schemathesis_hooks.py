"""What schemathesis cannot know of the service: how pictures look, and which refusals are right answers."""

from __future__ import annotations

import base64
import os
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi import media_type

from natix_cascade.image import encode_jpeg

_JPEG = encode_jpeg(np.full((16, 16, 3), 200, np.uint8))
_PICTURES = st.just(_JPEG) | st.binary(max_size=64)
_JUDGED = ("/v1/infer", "/v1/batch-infer", "/v1/feedback")

media_type("image/jpeg", _PICTURES)
media_type("image/png", _PICTURES)
media_type("image/webp", _PICTURES)
media_type("application/octet-stream", _PICTURES)
_LINE = b'{"image": "%s", "name": "a"}\n' % base64.b64encode(_JPEG)


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """Text as it is, and a picture before it where it is of an odd length."""
    text = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    return _LINE + text if len(text) % 2 else text


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """A picture as text is a picture, and feedback is on a verdict that is there."""
    if isinstance(body, dict) and context.operation is not None and context.operation.path in _JUDGED:
        if isinstance(body.get("image"), str) and len(body["image"]) % 2:
            body["image"] = base64.b64encode(_JPEG).decode()
        if isinstance(body.get("verdict_id"), str) and len(body["verdict_id"]) == 32:  # a valid one
            body["verdict_id"] = os.environ["NATIX_TEST_VERDICT"]
    return body


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:  # noqa: ARG001  # the hook's four
    """Failures that count; the others are right answers, for these reasons."""
    name, path, status = type(failure).__name__, case.operation.path, response.status_code
    if name == "RejectedPositiveData" and path in _JUDGED:
        # Bytes that the schema allows may be no picture, or a damaged or small one; a level or a label may be unknown.
        return status not in (400, 413, 415, 422)
    if name == "AcceptedNegativeData" and path in ("/v1/infer", "/v1/batch-infer"):
        # A form's part is text as well as a file; and an answer of lines carries its problem in the last of them.
        return "application/x-ndjson" not in str(response.headers["content-type"])
    if name == "ServerError" and path in _JUDGED:
        return bool(status != 504)  # a deadline of a millisecond passes; it is described
    if name == "ServerError" and path == "/ready":
        return bool(status != 503)  # it says why
    return True
