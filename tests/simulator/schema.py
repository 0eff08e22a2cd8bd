"""Hold answers of the API against the vendor's own OpenAPI description."""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from jsonschema import Draft4Validator, FormatChecker

# OpenAPI 3.0 schemas are those of draft 4, with their boolean exclusiveMinimum.
_FORMATS = FormatChecker(["uuid"])


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(text: object) -> bool:
    return datetime.fromisoformat(str(text)).tzinfo is not None


def require_documented(response: requests.Response) -> None:
    """Fail unless an answer is what the description says, with no field beyond it.

    It does not say so, but clients of the vendor's find null for an instance that is none.
    """
    assert response.status_code == 200, response.text
    method = str(response.request.method).lower()
    path = re.sub(r"^(/[^/]+)?/v2", "", urlsplit(str(response.url)).path)
    validator = _validator(method, path)
    errors = [error.message for error in validator.iter_errors(response.json())]
    assert errors == [], f"{method} {path}: {response.text}"


def _validator(method: str, path: str) -> Draft4Validator:
    """Find what describes a call's answer."""
    for template, item in _description()["paths"].items():
        pattern = re.sub(r"\\\{[^}]+\\\}", "[^/:]+", re.escape(template))
        if method in item and re.fullmatch(pattern, path):
            content = item[method]["responses"]["200"]["content"]
            schema = content["application/json"]["schema"]
            whole = {**schema, "components": _description()["components"]}
            return Draft4Validator(whole, format_checker=_FORMATS)
    raise AssertionError(f"{method} {path} is not described")


@functools.cache
def _description() -> Any:
    text = importlib.resources.files("exoscale").joinpath("openapi.json").read_text()
    description = json.loads(text)
    for schema in description["components"]["schemas"].values():
        _close(schema)
    volume = description["components"]["schemas"]["block-storage-volume"]["properties"]
    volume["instance"] = {"anyOf": [{"type": "null"}, volume["instance"]]}
    return description


def _close(schema: Any) -> None:
    """Allow no undocumented field, at any depth."""
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
        for each in schema["properties"].values():
            _close(each)
    if "items" in schema:
        _close(schema["items"])
