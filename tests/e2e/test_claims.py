"""What the description claims is known to Kubernetes' tests, and nothing is left unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.e2e.claims import DRIVER, unknown_claims

pytestmark = pytest.mark.fast


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source of Kubernetes that knows just what the description has."""
    described = yaml.safe_load(DRIVER.read_text())
    info = described["DriverInfo"]
    known = [f'\tCap{each} Capability = "{each}" // text' for each in info["Capabilities"]]
    structures = {
        "DriverInfo": info,
        **{name: value for name, value in info.items() if name.endswith("Options")},
    }
    storage = tmp_path / "test/e2e/storage"
    for folder in ("framework", "external"):
        (storage / folder).mkdir(parents=True)
    text = "\n".join([*known, *(_structure(name, fields) for name, fields in structures.items())])
    (storage / "framework/testdriver.go").write_text(text)
    (storage / "external/external.go").write_text(_structure("driverDefinition", described))
    return tmp_path


def _structure(name: str, fields: dict[str, object]) -> str:
    lines = "".join(f"\t// About it\n\t{field} map[string]bool\n" for field in fields)
    return f"type {name} struct {{\n{lines}}}\n"


def test_known_claims_are_all_right(source: Path) -> None:
    assert list(unknown_claims(source)) == []


def test_capability_that_the_tests_learnt_must_be_decided(source: Path) -> None:
    structures = source / "test/e2e/storage/framework/testdriver.go"
    structures.write_text('\tCapNew Capability = "teleport"\n' + structures.read_text())

    assert list(unknown_claims(source)) == [
        "DriverInfo.Capabilities.teleport is neither claimed nor denied"
    ]


@pytest.mark.parametrize(
    ("file", "gone", "told"),
    [
        ("framework/testdriver.go", 'Capability = "block"', "DriverInfo.Capabilities.block"),
        ("framework/testdriver.go", "TopologyKeys", "DriverInfo.TopologyKeys"),
        ("framework/testdriver.go", "NumRestarts", "DriverInfo.StressTestOptions.NumRestarts"),
        ("external/external.go", "SnapshotClass", "SnapshotClass"),
    ],
)
def test_claim_that_the_tests_do_not_know_is_told(
    source: Path, file: str, gone: str, told: str
) -> None:
    path = source / "test/e2e/storage" / file
    path.write_text(path.read_text().replace(gone, "Other"))

    assert list(unknown_claims(source)) == [f"{told} is unknown to Kubernetes' tests"]
