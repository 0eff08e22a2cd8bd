"""What is published is what was built and signed, and users can tell (N13)."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

import csi_exoblock
from tests.release.contents import Contents
from tests.release.rehearsal import OUT, ROOT, Rehearsal

_CODE = "opt/csi-exoblock/lib/python3.11/site-packages/"


def test_what_is_published_is_verified(release: Rehearsal) -> None:  # N13
    verified = release.script("verify")

    assert verified.split()[1::2] == [
        release.by_digest(release.image),
        release.by_digest(release.chart),
    ]


def test_signature_of_another_key_verifies_nothing(release: Rehearsal) -> None:  # N13
    with pytest.raises(subprocess.CalledProcessError):
        release.script("verify", key="another")


def test_image_that_was_put_in_its_place_is_not_verified(
    release: Rehearsal, tmp_path: Path
) -> None:  # N13
    signed = release.by_digest(release.image)
    release.run("crane", "mutate", signed, f"--tag={release.image}", "--label=changed=yes")

    try:
        with pytest.raises(subprocess.CalledProcessError):
            release.script("verify")
    finally:
        release.run("crane", "copy", signed, release.image)


def test_version_is_published_only_once(release: Rehearsal) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        release.script("publish")

    assert "raise the version" in refused.value.stderr


def test_image_that_is_pulled_by_digest_is_whole(release: Rehearsal) -> None:
    release.run("crane", "validate", f"--remote={release.by_digest(release.image)}")


def test_image_says_what_it_was_built_from(release: Rehearsal, contents: Contents) -> None:  # N13
    labels = contents.config["Labels"]
    base = release.run("crane", "digest", labels["org.opencontainers.image.base.name"]).strip()

    assert labels["org.opencontainers.image.version"] == csi_exoblock.__version__
    assert labels["org.opencontainers.image.revision"] == _commit()
    assert labels["org.opencontainers.image.base.digest"] == base


def test_sbom_names_every_package_of_the_image(
    release: Rehearsal, contents: Contents
) -> None:  # N13
    components = release.attested("cyclonedx")["components"]
    found = {(each["name"], each.get("version")) for each in components}

    assert set(contents.debian_packages.items()) <= found
    assert set(contents.python_packages.items()) <= found
    assert ("csi-exoblock", csi_exoblock.__version__) in found


def test_sbom_of_the_wheel_has_the_hashes_that_the_image_is_installed_by(
    contents: Contents,
) -> None:  # N13
    path = OUT / f"csi-exoblock-{csi_exoblock.__version__}-python.cdx.json"
    sbom = yaml.safe_load(path.read_text())

    hashed = {
        each["name"]: each["version"]
        for each in sbom["components"]
        if all(file["hashes"] for file in each["externalReferences"])
    }

    ours = sbom["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("csi-exoblock", csi_exoblock.__version__)
    assert hashed | {ours["name"]: ours["version"]} == contents.python_packages


def test_provenance_names_commit_and_base(release: Rehearsal, contents: Contents) -> None:  # N13
    definition = release.attested("slsaprovenance1")["buildDefinition"]
    base = contents.config["Labels"]["org.opencontainers.image.base.digest"]

    digests = [each["digest"] for each in definition["resolvedDependencies"]]

    assert {"gitCommit": _commit()} in digests
    assert {"sha256": base.removeprefix("sha256:")} in digests


def test_chart_by_digest_installs_images_by_digest_alone(release: Rehearsal) -> None:  # N13
    chart = f"oci://{release.by_digest(release.chart)}"
    values = f"--set=imageRegistry={release.registry}"

    rendered = release.run("helm", "template", "exoblock", chart, "--plain-http", values)

    images = set(re.findall(r"image: \"?([^\s\"]+)", rendered))
    assert release.by_digest(release.image).partition("@")[2] in {_digest(each) for each in images}
    assert len(images) == 5
    for each in images:
        name, _, digest = each.partition("@")
        assert release.run("crane", "digest", name).strip() == digest


def test_wheel_has_the_code_that_is_in_the_image(contents: Contents) -> None:
    (wheel,) = OUT.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name
        }

    installed = {f"{_CODE}{name}": content for name, content in packed.items()}

    assert f"{_CODE}csi_exoblock/__main__.py" in installed
    assert {path: contents.files[path].content for path in installed} == installed


def _commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def _digest(image: str) -> str:
    return image.partition("@")[2]
