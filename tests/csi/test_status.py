"""From an error to a code and a text that sidecars can act on and store (S4, F11)."""

from __future__ import annotations

import pytest
from grpc import StatusCode
from hypothesis import example, given
from hypothesis import strategies as st

from csi_exoblock.csi.status import code_of, explain, message_of
from csi_exoblock.errors import ApiRejected, InvalidRequest, OperationPending

pytestmark = pytest.mark.fast

# external-attacher stores what is said in a VolumeAttachment, which takes 1024 bytes.
STORED_BYTES = 1000


@pytest.mark.parametrize(
    ("http_status", "code"),
    [
        (400, StatusCode.INVALID_ARGUMENT),
        (404, StatusCode.NOT_FOUND),
        (409, StatusCode.ABORTED),
        (410, StatusCode.NOT_FOUND),
        (412, StatusCode.INTERNAL),
        (422, StatusCode.INVALID_ARGUMENT),
    ],
)
def test_refusal_that_nothing_explains_has_the_code_of_its_http_status(
    http_status: int, code: StatusCode
) -> None:  # S4
    assert code_of(ApiRejected("no", http_status=http_status)) is code


@given(st.text("ax é€", max_size=1500))
@example("a" * 1000)
@example("x" + "é" * 600)
@example("€" * 400)
@example("x€" * 300)
def test_message_fits_where_sidecars_store_it(text: str) -> None:  # F11
    message = message_of(text)

    assert len(message.encode()) < STORED_BYTES
    assert message == text or text.startswith(message.removesuffix("..."))


@pytest.mark.parametrize("letters", ["a" * 999, "é" * 499])
def test_message_that_fits_is_whole(letters: str) -> None:  # F11
    assert message_of(letters) == letters


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OperationPending("a snapshot is taken"), "a snapshot is taken; Kubernetes will retry"),
        (OperationPending("the next call joins it"), "the next call joins it"),
        (InvalidRequest("name is required"), "name is required"),
    ],
)
def test_error_says_once_whether_it_is_tried_again(error: Exception, says: str) -> None:  # F11
    assert explain(error) == says
