"""The application factory: routes, error handling, the edge, and what the process holds while it runs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from api import access, problems, services
from api.edge import Edge
from api.openapi import Api
from api.routes import analytics, auth, batches, feed, health, orders, products, streams, transitions, users
from runtime import logs, settings
from runtime.settings import Settings

ROUTERS = (
    health.router,
    auth.router,
    users.router,
    products.router,
    batches.router,
    orders.router,
    streams.router,
    transitions.router,
    feed.router,
    analytics.router,
)


class UnguardedRoute(Exception):
    """A route declares no guard; every one needs a permission or `Public`."""


def create_app(configured: Settings | None = None, routers: Sequence[APIRouter] = ROUTERS) -> FastAPI:
    """The API of one process.

    Raises:
        SettingsError: the environment lacks a setting.
        UnguardedRoute: a route would be open to everybody by mistake.
    """
    configured = configured or settings.current()
    logs.configure("api", configured.log_level, configured.log_format)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = await services.start(configured)
        yield
        await services.stop(app.state.services)

    app = Api(
        title="Order Pipeline",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    for router in routers:
        app.include_router(router)
    if found := access.unguarded(app):
        raise UnguardedRoute(", ".join(found))
    problems.install(app)
    app.add_middleware(Edge)
    return app
