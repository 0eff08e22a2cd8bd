"""Print one package of uv.lock as pip's requirement with hashes: what installs uv itself."""

import sys
import tomllib
from pathlib import Path


def main(name: str) -> None:
    """Print the requirement of the package of this name."""
    lock = tomllib.loads(Path("uv.lock").read_text())
    (package,) = (each for each in lock["package"] if each["name"] == name)
    hashes = (f"--hash={wheel['hash']}" for wheel in package["wheels"])
    print(f"{name}=={package['version']}", *hashes)


if __name__ == "__main__":
    main(sys.argv[1])
