"""Break calls on the wire: refuse, drop, delay, or answer with garbage."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Final

from aiohttp import web

from csi_exoblock.simulator.faults.faults import Fault, Rule, When

_GARBAGE: Final = '{"id": "6f1c2d3e-'
_PAGE: Final = "<html>\n<head><title>{0}</title></head>\n<body><h1>{0}</h1></body>\n</html>\n"


async def before_effect(
    rule: Rule | None, request: web.Request, time_scale: float
) -> web.Response | None:
    """Break a call before it has any effect; return None if it goes on."""
    return await _interfere(rule, request, When.BEFORE, time_scale)


async def after_effect(
    rule: Rule | None, request: web.Request, time_scale: float
) -> web.Response | None:
    """Break a call after it has had its effect; return None if its answer is sent."""
    return await _interfere(rule, request, When.AFTER, time_scale)


async def _interfere(
    rule: Rule | None, request: web.Request, when: When, time_scale: float
) -> web.Response | None:
    if rule is None or rule.when is not when:
        return None
    match rule.fault:
        case Fault.DELAY:
            await request.read()  # now, as a client that gives up takes its body along
            await asyncio.sleep(rule.seconds * time_scale)
        case Fault.REFUSE:
            return _refusal(rule)
        case Fault.DROP:
            return _drop(request)
        case Fault.GARBAGE:
            return web.Response(text=_GARBAGE if rule.body is None else rule.body)
        case Fault.PAGE:
            return _page(rule.status)
    return None


def _refusal(rule: Rule) -> web.Response:
    body = rule.body
    if body is None:
        body = json.dumps({"message": f"refused by a rule with status {rule.status}"})
    headers = {"Retry-After": f"{rule.retry_after:g}"} if rule.retry_after is not None else None
    return web.Response(
        text=body, status=rule.status, content_type="application/json", headers=headers
    )


def _page(status: int) -> web.Response:
    """Answer like a load balancer without a backend."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return web.Response(text=_PAGE.format(title), status=status, content_type="text/html")


def _drop(request: web.Request) -> web.Response:
    """Reset the connection; the response returned here is never received."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
