"""Write the digest of each image into a chart's values, so that the chart installs nothing else.

python3 deploy/release/pin_images.py VALUES LAYOUT

LAYOUT is the OCI layout of the driver's image. The sidecars' digests are asked of their registries,
or of MIRROR, with crane.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

_IMAGE = re.compile(
    r"registry: (?P<registry>\S+)\n"
    r" +repository: (?P<repository>\S+)\n"
    r"(?: +#.*\n)*"
    r" +tag: (?P<tag>\S+)\n"
    r"(?: +#.*\n)*"
    r' +digest: ""'
)


def main(values: Path, layout: Path) -> None:
    """Replace every empty digest of the file."""
    (built,) = json.loads((layout / "index.json").read_text())["manifests"]

    def pin(image: re.Match[str]) -> str:
        # The driver's image is the one whose tag follows the chart.
        digest = built["digest"] if image["tag"] == '""' else _published(image)
        return image[0].removesuffix('""') + digest

    pinned = _IMAGE.sub(pin, values.read_text())
    if 'digest: ""' in pinned:
        raise SystemExit(f"{values}: an image is not pinned; is it written like the others?")
    values.write_text(pinned)


def _published(image: re.Match[str]) -> str:
    registry = os.environ.get("MIRROR") or image["registry"]
    name = f"{registry}/{image['repository']}:{image['tag']}"
    asked = subprocess.run(["crane", "digest", name], check=True, stdout=subprocess.PIPE, text=True)
    return asked.stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
