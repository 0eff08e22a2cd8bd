"""Receive the calls of the API: record them, inject faults, check them, answer them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aiohttp import web

from csi_exoblock.simulator.faults.faults import Faults, Rule
from csi_exoblock.simulator.faults.interference import after_effect, before_effect
from csi_exoblock.simulator.http import wire
from csi_exoblock.simulator.http.auth import Credentials, SignedRequest
from csi_exoblock.simulator.http.body import Body, parse_id
from csi_exoblock.simulator.state.calls import Call, CallLog
from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.durations import REQUEST
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.refusals import Refusal
from csi_exoblock.simulator.state.resources import Ending
from csi_exoblock.simulator.time.throttle import Throttle

_PUBLIC: Final = "list-zones"  # the vendor's SDK asks for the zones without signing
_SYNCHRONOUS: Final = "resize-block-storage-volume"  # the one write that begins no operation


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A call that passed the checks.

    Attributes:
        path_id: The id in the path, as sent.
        instance: The instance in the query, by which a list is filtered.
        ending: The ending of the operation that the call begins.
        base_url: The URL of this server.
    """

    zone: Zone
    path_id: str
    instance: UUID | None
    body: Body
    ending: Ending
    base_url: str

    @property
    def id(self) -> UUID:
        """The id in the path, refused when it is no UUID."""
        return parse_id(self.path_id)


Handler = Callable[[ApiRequest], Awaitable[bytes]]
"""Answers a call with the bytes of a JSON object, or refuses it."""


class Gateway:
    """Receives every call before its handler.

    Args:
        time_scale: Factor for the delays of faults.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        credentials: Credentials,
        faults: Faults,
        calls: CallLog,
        throttle: Throttle,
        time_scale: float,
    ) -> None:
        self._cloud = cloud
        self._credentials = credentials
        self._faults = faults
        self._calls = calls
        self._throttle = throttle
        self._time_scale = time_scale

    def serve(
        self, operation: str, handler: Handler
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the route's handler for an operation's handler."""

        async def serve(request: web.Request) -> web.StreamResponse:
            zone = request.match_info.get("zone", next(iter(self._cloud.zones)))
            call = self._calls.open(
                zone=zone,
                operation=operation,
                at=self._cloud.clock(),
                user_agent=request.headers.get("User-Agent", ""),
                resource=request.match_info.get("id"),
                instance=self._cloud.instance_having(zone, request.match_info.get("id", "")),
            )
            try:
                response = await self._respond(request, call, handler)
            except ConnectionResetError:  # the client has died during the call
                response = web.Response()
            finally:
                call.seconds = self._cloud.clock() - call.at
            if request.transport is not None and not request.transport.is_closing():
                call.status = response.status
            return response

        return serve

    async def _respond(
        self, request: web.Request, call: Call, handler: Handler
    ) -> web.StreamResponse:
        """Answer a call, with its fault if it gets one."""
        if (seconds := self._throttle.seconds_to_wait(call.zone)) > 0.0:
            return self._too_many(seconds)
        if (seconds := self._cloud.latencies.draw(REQUEST, self._cloud.age())) > 0.0:
            await asyncio.sleep(seconds)
        writes = request.method != "GET" and call.operation != _SYNCHRONOUS
        rule = self._faults.choose(call.operation, call.zone, begins_operation=writes)
        call.fault = rule.fault if rule else None
        early = await before_effect(rule, request, self._time_scale)
        if early is not None:
            return early
        try:
            response = _json(await handler(await self._read(request, call, rule)))
        except Refusal as refusal:
            response = self._refuse(refusal)
        return await after_effect(rule, request, self._time_scale) or response

    async def _read(self, request: web.Request, call: Call, rule: Rule | None) -> ApiRequest:
        """Check a request, and return the parts that handlers need."""
        raw = await request.read()
        zone = self._cloud.zone(call.zone)
        if call.operation != _PUBLIC or "Authorization" in request.headers:
            self._require_permission(request, raw, call.operation)
        instance = request.query.get("instance-id")
        return ApiRequest(
            zone=zone,
            path_id=call.resource or "",
            body=Body(raw),
            instance=parse_id(instance) if instance else None,
            ending=rule.ending if rule else Ending(),
            base_url=f"{request.scheme}://{request.host}",
        )

    def _refuse(self, refusal: Refusal) -> web.Response:
        modes = self._cloud.modes
        status = refusal.status
        if refusal.by_state and not modes.has(Question.REFUSAL_STATUS, "as-seen"):
            status = int(modes.answer(Question.REFUSAL_STATUS))
        if modes.has(Question.ERROR_BODY, "problem"):
            response = _json(wire.encode(wire.problem(status, refusal.message)), status)
            response.content_type = "application/problem+json"
            return response
        return _json(wire.encode(wire.error(status, refusal.message)), status)

    def _too_many(self, seconds: float) -> web.Response:
        after, body = math.ceil(seconds), wire.error(429, "Too many requests")
        where = self._cloud.modes.answer(Question.RETRY_AFTER)
        response = _json(
            wire.encode({**body, "retry_after": after} if where == "body" else body), 429
        )
        if where == "header":
            response.headers["Retry-After"] = str(after)
        return response

    def _require_permission(self, request: web.Request, raw: bytes, operation: str) -> None:
        path, _, query = request.raw_path.partition("?")
        signed = SignedRequest(
            method=request.method,
            path=path,
            query=query,
            body=raw,
            authorization=request.headers.get("Authorization"),
        )
        self._credentials.require_permission(signed, operation, self._cloud.clock())


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
