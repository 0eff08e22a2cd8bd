"""A real Prometheus that scrapes the tests' own drivers, with the rules that this project ships.

with Prometheus.start(folder, [8080, 8081], rules=RULES) as prometheus:
    prometheus.ask("max by (zone) (csi_exoblock_api_up)")
"""

from __future__ import annotations

import math
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pytest
import requests
import yaml

from tests.support.children import die_with_parent
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = pathlib.Path(__file__).parents[2]
RULES = ROOT / "deploy" / "monitoring" / "rules.yaml"
LIMIT_SECONDS = 30.0


def program(name: str) -> str:
    """Return where `prometheus` or `promtool` is; skip the test if it is nowhere."""
    found = shutil.which(name, path=f"{ROOT / '.venv' / 'bin'}:/usr/local/bin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is missing; .ci/promtool fetches it")
    return found


class Prometheus:
    """A running Prometheus, which reads its targets twice a second."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{port}"
        self._log = log

    @classmethod
    def start(
        cls, folder: pathlib.Path, ports: Sequence[int], *, rules: pathlib.Path = RULES
    ) -> Self:
        """Start it, and return it when it has read all its targets.

        Args:
            ports: Where the targets serve `/metrics`.
        """
        targets = [f"127.0.0.1:{each}" for each in ports]
        settings = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "csi-exoblock", "static_configs": [{"targets": targets}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        port, log = free_port(), folder / "prometheus.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (
                    program("prometheus"),
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ),
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
            )
        started = cls(process, port, log)
        try:
            wait_until(lambda: started._up() == len(ports), explain=log.read_text)
        except BaseException:
            started.stop()
            raise
        return started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def ask(self, query: str) -> list[float]:
        """Return the values that a query has now; those that are no number are left out."""
        answer = self._get("query", query=query)
        values = [float(each["value"][1]) for each in answer["result"]]
        return [each for each in values if not math.isnan(each)]

    def rules(self) -> dict[str, str]:
        """Return the health of each rule by its name."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(LIMIT_SECONDS)

    def _up(self) -> int:
        try:
            return int(sum(self.ask("up")))
        except requests.ConnectionError:
            assert self._process.poll() is None, self._log.read_text()
            return 0

    def _get(self, path: str, **parameters: str) -> Any:
        answer = requests.get(
            f"{self._url}/api/v1/{path}", params=parameters, timeout=LIMIT_SECONDS
        )
        content = answer.json() if answer.ok or answer.status_code == 400 else {}
        if answer.status_code == 503:  # it has only just started
            return {"result": [], "groups": []}
        assert content["status"] == "success", content
        return content["data"]
