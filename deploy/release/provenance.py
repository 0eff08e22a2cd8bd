"""Print where a release comes from, as SLSA's provenance 1.0: what was built, of what, and where.

python3 deploy/release/provenance.py VERSION BASE BASE_DIGEST
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCE = "https://github.com/csi-exoblock/csi-exoblock"


def main(version: str, base: str, base_digest: str) -> None:
    """Print the predicate."""
    algorithm, _, digest = base_digest.partition(":")
    json.dump(
        {
            "buildDefinition": {
                "buildType": f"{SOURCE}/blob/main/deploy/release/build",
                "externalParameters": {"source": SOURCE, "ref": f"refs/tags/v{version}"},
                "resolvedDependencies": [
                    {"uri": f"git+{SOURCE}", "digest": {"gitCommit": _commit()}},
                    {"uri": f"docker://{base}", "digest": {algorithm: digest}},
                    {"uri": f"{SOURCE}/blob/v{version}/uv.lock", "digest": {"sha256": _lock()}},
                ],
            },
            "runDetails": _run(),
        },
        sys.stdout,
        indent=2,
    )


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE, text=True
    )
    return asked.stdout.strip()


def _lock() -> str:
    return hashlib.sha256(Path("uv.lock").read_bytes()).hexdigest()


def _run() -> Mapping[str, Any]:
    """Return which workflow built it in which run; none of both where somebody did it by hand."""
    workflow = os.environ.get("GITHUB_WORKFLOW_REF")
    if not workflow:
        return {"builder": {"id": f"{SOURCE}#by-hand"}}
    run = f"{SOURCE}/actions/runs/{os.environ['GITHUB_RUN_ID']}"
    return {
        "builder": {"id": f"https://github.com/{workflow}"},
        "metadata": {"invocationId": run},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
