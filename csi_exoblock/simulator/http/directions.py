"""Answer requests to unknown paths with a hint where the API is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from csi_exoblock.simulator.state.cloud import Cloud

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def directions(cloud: Cloud) -> Middleware:
    """Return a middleware that answers, in place of aiohttp, for unknown paths and methods."""

    @web.middleware
    async def direct(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return web.json_response({"message": _message(cloud, request)}, status=error.status)

    return direct


def _message(cloud: Cloud, request: web.Request) -> str:
    server, (first, *_) = f"{request.scheme}://{request.host}", cloud.zones
    return (
        f"{request.method} {request.path} is not served; the API of zone {first} is at {server}/v2,"
        f" that of any zone at {server}/ZONE/v2, where ZONE is one of {', '.join(cloud.zones)};"
        f" the simulator itself is at {server}/_simulator/"
    )
