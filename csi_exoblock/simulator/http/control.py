"""Serve `/_simulator/`, where tests and people can inspect the simulator and control it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from csi_exoblock.simulator.faults.faults import Faults, Rule
from csi_exoblock.simulator.http.auth import Credentials
from csi_exoblock.simulator.http.inventory import Handler, Inventory, Table
from csi_exoblock.simulator.state.calls import CallLog
from csi_exoblock.simulator.state.cloud import Cloud
from csi_exoblock.simulator.state.codec import decode
from csi_exoblock.simulator.state.refusals import Refusal
from csi_exoblock.simulator.time.runner import Runner
from csi_exoblock.simulator.time.throttle import Throttle


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The simulator's own routes."""

    cloud: Cloud
    runner: Runner
    inventory: Inventory
    faults: Faults
    calls: CallLog
    credentials: Credentials
    throttle: Throttle

    def routes(self) -> list[web.RouteDef]:
        """Return every route; the index at `/_simulator/` describes them by their docstrings."""
        table: Table = (
            ("DELETE", "/", self._clear),
            ("GET", "/calls", self._get_calls),
            ("DELETE", "/calls", self._clear_calls),
            ("GET", "/faults", self._get_faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("DELETE", "/faults/{number}", self._remove_fault),
            ("GET", "/modes", self._get_modes),
            ("PUT", "/modes", self._set_modes),
            ("PUT", "/keys/{key}", self._put_key),
            ("DELETE", "/keys/{key}", self._revoke_key),
            ("GET", "/throttle", self._get_throttle),
            ("PUT", "/throttle", self._set_throttle),
            ("GET", "/quotas", self._get_quotas),
            ("PUT", "/quotas", self._set_quotas),
            ("GET", "/zones", self._get_zones),
            ("PUT", "/zones", self._set_zones),
            ("GET", "/latencies", self._get_latencies),
            ("PUT", "/latencies", self._set_latencies),
            ("GET", "/variation", self._get_variation),
            ("PUT", "/variation", self._set_variation),
            *self.inventory.table(),
        )
        index = {f"{method} /_simulator{path}": handler.__doc__ for method, path, handler in table}

        async def describe(request: web.Request) -> dict[str, str | None]:
            return index

        return [
            web.route(method, f"/_simulator{path}", _serve(handler))
            for method, path, handler in (*table, ("GET", "/", describe))
        ]

    async def _clear(self, request: web.Request) -> None:
        """Return to the state of the start: the flags' modes and latencies, no rules, no limit."""
        await self.runner.clear()
        self.cloud.clear()
        self.faults.clear()
        self.calls.clear()
        self.throttle.per_second = None
        await self.runner.show_boot_disk()

    async def _get_calls(self, request: web.Request) -> list[dict[str, Any]]:
        """List the calls of the API, oldest first; ?after=N: only those with a higher number."""
        return self.calls.as_json(int(request.query.get("after", 0)))

    async def _clear_calls(self, request: web.Request) -> None:
        """Forget the calls; their numbers go on."""
        self.calls.clear()

    async def _get_faults(self, request: web.Request) -> list[dict[str, Any]]:
        """List the active rules, with how many calls each matched (seen) and changed (fired)."""
        return self.faults.as_json()

    async def _add_fault(self, request: web.Request) -> dict[str, int]:
        """Add a rule: {"fault": "drop", "operation": "...", "when": "after", ...}."""
        return {"id": self.faults.add(decode(Rule, await request.json()))}

    async def _clear_faults(self, request: web.Request) -> None:
        """Remove all rules."""
        self.faults.clear()

    async def _remove_fault(self, request: web.Request) -> None:
        """Remove a rule by its id."""
        self.faults.remove(int(request.match_info["number"]))

    async def _get_modes(self, request: web.Request) -> dict[str, str]:
        """Return the chosen answer to each question about the real API."""
        return self.cloud.modes.as_json()

    async def _set_modes(self, request: web.Request) -> None:
        """Choose answers: {"names-unique": "yes"}."""
        modes = deepcopy(self.cloud.modes)  # all of them, or none
        for label, answer in (await request.json()).items():
            modes.set(label, answer)
        self.cloud.modes = modes
        await self.runner.show_boot_disk()

    async def _put_key(self, request: web.Request) -> None:
        """Accept an API key: {"secret": "...", "role": ["list-zones", ...]}; no role: all."""
        body = await request.json()
        self.credentials.put(request.match_info["key"], body["secret"], body.get("role"))

    async def _revoke_key(self, request: web.Request) -> None:
        """Refuse an API key from now on."""
        self.credentials.revoke(request.match_info["key"])

    async def _get_throttle(self, request: web.Request) -> dict[str, float | None]:
        """Return how many calls per second each zone accepts; null is no limit."""
        return {"per-second": self.throttle.per_second}

    async def _set_throttle(self, request: web.Request) -> None:
        """Limit the calls per second that each zone accepts: {"per-second": 20}, null: no limit."""
        per_second = (await request.json())["per-second"]
        if per_second is not None and not per_second > 0:
            raise ValueError("per-second must be above 0")
        self.throttle.per_second = per_second

    async def _get_quotas(self, request: web.Request) -> dict[str, int]:
        """Return the organisation's limits by resource; -1 is unlimited."""
        return self.cloud.quotas.as_json()

    async def _set_quotas(self, request: web.Request) -> None:
        """Set limits: {"block-storage": 100}."""
        quotas = deepcopy(self.cloud.quotas)
        for resource, limit in (await request.json()).items():
            quotas.set(resource, limit)
        self.cloud.quotas = quotas

    async def _get_zones(self, request: web.Request) -> dict[str, list[str]]:
        """Return all zones, and which of them the API's list of zones shows."""
        return {"zones": list(self.cloud.zones), "listed": list(self.cloud.listed_zones)}

    async def _set_zones(self, request: web.Request) -> None:
        """Let the API's list of zones show only these: {"listed": ["ch-gva-2"]}."""
        listed = (await request.json())["listed"]
        if not isinstance(listed, list):
            raise ValueError("listed must be a list of zones")
        self.cloud.listed_zones = tuple(self.cloud.zone(name).name for name in listed)

    async def _get_latencies(self, request: web.Request) -> dict[str, float]:
        """Return how many seconds each kind of operation takes, before --time-scale."""
        return self.cloud.latencies.as_json()

    async def _set_latencies(self, request: web.Request) -> None:
        """Set seconds: {"create": 1.5}, or {"all": 0}."""
        latencies = deepcopy(self.cloud.latencies)
        for kind, seconds in (await request.json()).items():
            latencies.set(kind, float(seconds))
        self.cloud.latencies = latencies

    async def _get_variation(self, request: web.Request) -> dict[str, object]:
        """Return how the times of operations and requests vary."""
        return self.cloud.latencies.variation.as_json()

    async def _set_variation(self, request: web.Request) -> None:
        """Let times vary: {"spread": 0.3, "attach": 0.5, "stragglers": 0.01}; {}: not at all."""
        self.cloud.latencies.vary(await request.json())


def _serve(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        try:
            answer = await handler(request)
        except Refusal as refusal:
            return web.json_response({"message": refusal.message}, status=refusal.status)
        except (ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            return web.json_response({"message": f"bad request: {error!r}"}, status=400)
        return web.json_response(answer)

    return serve
