"""Fields of Kubernetes' JSON read as Kubernetes means them."""

from __future__ import annotations

import pytest

from csi_exoblock.kubernetes.fields import size_bytes

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("10Gi", 10 * 2**30),
        ("1.5Ti", 3 * 2**39),
        ("1e9", 10**9),
        ("1.5E3", 1500),
        ("2E", 2 * 10**18),
        ("7Ei", 7 * 2**60),
        ("9007199254740993", 9007199254740993),
        ("1001m", 2),
        ("+5k", 5000),
        (".5G", 500_000_000),
        ("", 0),
        ("much", 0),
        ("1ei", 0),
        ("10 Gi", 0),
        ("-1", 0),
    ],
)
def test_quantities_are_read_in_every_form(quantity: str, expected: int) -> None:
    assert size_bytes({"storage": quantity}, "storage") == expected
