"""`csi-exoblock doctor --bundle`: an archive for support, without secrets (F12).

What this user or service account may not read is named in the archive as not collected.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from csi_exoblock import versions
from csi_exoblock.config import ApiSettings, KubernetesSettings
from csi_exoblock.credentials import read_credentials
from csi_exoblock.tools import doctor
from csi_exoblock.tools.bundle_archive import Archive, require_new, write_new
from csi_exoblock.tools.bundle_redaction import Redaction

_HEADING = """\
Written by {version}
on {when}.

The API key and its secret, passwords, tokens and private keys were replaced by [redacted], as far
as they are known or look like one. Names of claims, namespaces, nodes and volumes are left: read
through the files before you send them."""


STANDARD_OUTPUT = Path("-")


def require_place(path: Path) -> None:
    """Raise an error unless the archive can be written, before anything is collected for it.

    Raises:
        UsageError: It would be written to a terminal.
        OSError: There is a file of that name, or no file can be written there.
    """
    if path != STANDARD_OUTPUT:
        require_new(path)
    elif sys.stdout.isatty():
        raise click.UsageError("--bundle - needs a file or pipe as its standard output")


def secrets_of(api: ApiSettings | None, cluster: KubernetesSettings | None) -> list[str]:
    """Return the secrets that the settings of this command lead to."""
    return [*_secrets_of_api(api), *_secrets_of_pod(cluster)]


def write(
    path: Path,
    findings: Sequence[doctor.Finding],
    collect: Callable[[Archive], None],
    secrets: Sequence[str],
) -> None:
    """Write the archive: the doctor's report, versions, and the evidence.

    Raises:
        OSError: It can't be written, or another file has its name by now.
    """
    archive = Archive(Redaction(secrets))
    archive.add("doctor.txt", doctor.as_text(findings, verbose=True))
    archive.add_json("doctor.json", doctor.as_values(findings))
    own = {
        "command": versions.in_one_line(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    archive.add_json("versions.json", own)
    collect(archive)
    when = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    content = archive.closed(_HEADING.format(version=versions.in_one_line(), when=when))
    if path == STANDARD_OUTPUT:
        sys.stdout.buffer.write(content)
    else:
        write_new(path, content)
        click.echo(f"wrote {path}, {len(content) / 1024:.0f} KiB", err=True)


def _secrets_of_api(api: ApiSettings | None) -> Iterator[str]:
    if api is None:
        return
    yield from (api.credentials.key, api.credentials.secret)
    if api.proxy is not None:
        yield api.proxy.password
    if api.credentials_file is not None:
        try:
            later = read_credentials(api.credentials_file)
        except ValueError:
            return  # being rotated; the first ones are known, and others look like a key
        yield from (later.key, later.secret)


def _secrets_of_pod(cluster: KubernetesSettings | None) -> Iterator[str]:
    if cluster is None:
        return
    try:
        yield (cluster.service_account_path / "token").read_text(errors="replace").strip()
    except OSError:
        return
