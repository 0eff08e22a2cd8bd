"""The forms in which a file holds the API key, and that nothing of it ever shows (F1, F12)."""

from __future__ import annotations

import json
import pathlib
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csi_exoblock.credentials import Credentials, credentials_of, read_credentials

pytestmark = pytest.mark.fast

HIDDEN = "hunter2"

BAD_FILES = {
    "empty": b"",
    "no JSON": b"api_key: EXO1\napi_secret: hunter2\n",
    "cut short": b'{"api_key": "EXO1", "api_secret": "hunter2',
    "no object": b'["EXO1", "hunter2"]',
    "a mere string": b'"hunter2"',
    "no secret": b'{"api_key": "EXO1", "secret": "hunter2"}',
    "empty key": b'{"api_key": "", "api_secret": "hunter2"}',
    "empty secret": b'{"api_key": "EXO1", "api_secret": " "}',
    "a number": b'{"api_key": "EXO1", "api_secret": 7}',
    "a key that no header can hold": b'{"api_key": "EXO\\n1", "api_secret": "hunter2"}',
    "no text": b"\xff\xfe\x00hunter2",
    "too deep": b"[" * 100_000,
}


def test_the_cloud_controllers_format_is_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_text('{"name": "cluster", "api_key": "EXO1", "api_secret": "s1"}\n')

    assert read_credentials(file) == Credentials(key="EXO1", secret="s1")


def test_a_folder_of_files_named_like_the_variables_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "EXOSCALE_API_KEY").write_text("EXO1\n")
    (tmp_path / "EXOSCALE_API_SECRET").write_text("s1\n")

    assert read_credentials(tmp_path) == Credentials(key="EXO1", secret="s1")


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_and_not_quoted(tmp_path: pathlib.Path, content: bytes) -> None:
    file = tmp_path / "credentials.json"
    file.write_bytes(content)

    with pytest.raises(ValueError, match=r"credentials\.json") as caught:
        read_credentials(file)

    assert HIDDEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("space", [" ", "\n", "\r\n", "\t"])
def test_white_space_around_a_pair_does_not_count(space: str) -> None:  # F1: wherever it is from
    pair = credentials_of(f"{space}EXO1{space}", f"{space}s1{space}")

    assert pair == Credentials(key="EXO1", secret="s1")


@pytest.mark.parametrize(
    ("key", "secret"),
    [("", "s"), ("EXO1", ""), ("E X", "s"), ("E\nX", "s"), ("E,X", "s"), ("É", "s"), ("E", "s\0s")],
)
def test_a_pair_that_cannot_be_right_is_refused(key: str, secret: str) -> None:  # F1
    with pytest.raises(ValueError, match="EXOSCALE_API_"):
        credentials_of(key, secret)


def test_a_folder_without_the_secret_is_bad(tmp_path: pathlib.Path) -> None:
    (tmp_path / "EXOSCALE_API_KEY").write_text("EXO1")

    with pytest.raises(ValueError, match="EXOSCALE_API_SECRET: No such file"):
        read_credentials(tmp_path)


def test_a_pair_shows_neither_part() -> None:  # F12
    assert HIDDEN not in f"{credentials_of(HIDDEN, 's1')!r} {credentials_of('EXO1', HIDDEN)!r}"


def values() -> st.SearchStrategy[object]:
    """Generate JSON in which every text is secret."""
    texts = st.text("ab\n\x00é", max_size=5).map(HIDDEN.__add__)
    leaves = texts | st.integers() | st.none()
    names = st.sampled_from(["api_key", "api_secret", "name"])
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner)
    )


@given(value=values(), ensure_ascii=st.booleans(), cut=st.integers(0, 30), extra=st.binary())
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_file_holds_nothing_of_it_shows(
    tmp_path: pathlib.Path, value: object, ensure_ascii: bool, cut: int, extra: bytes
) -> None:  # F12
    file = tmp_path / "credentials.json"
    whole = json.dumps(value, ensure_ascii=ensure_ascii).encode()
    file.write_bytes(whole[: len(whole) - cut] + extra)

    try:
        shown = f"{read_credentials(file)!r}"
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))

    assert HIDDEN not in shown
