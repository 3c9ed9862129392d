"""The application factory: routes, error handling, the edge, and what the process holds while it runs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from api import services
from api.description import introduction
from api.description.openapi import Api, operation_id
from api.edge.budgets import Budgets
from api.edge.middleware import Edge
from api.edge.rate_limits import RateLimits
from api.identity import access
from api.metrics.measures import Measures
from api.metrics.tallies import Tallies
from api.routes import (
    analytics,
    api_keys,
    auth,
    batches,
    dead_letters,
    documentation,
    feed,
    health,
    metrics,
    mfa,
    ops,
    order_list,
    orders,
    password,
    place_order,
    products,
    service_accounts,
    spending,
    streams,
    transitions,
    user_admin,
    users,
)
from runtime import logs, settings, tracing
from runtime.settings import Settings

# The hot path first: routers are tried in turn.
ROUTERS = (
    place_order.router,
    orders.router,
    order_list.router,
    batches.router,
    streams.router,
    transitions.router,
    products.router,
    auth.router,
    password.router,
    users.router,
    spending.router,
    user_admin.router,
    mfa.router,
    service_accounts.router,
    api_keys.router,
    analytics.router,
    feed.router,
    ops.router,
    dead_letters.router,
    health.router,
)


# FastAPI would look for OpenTelemetry's providers anew in every request.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


class Application(Api):
    """FastAPI under one layer of ours, which does what its own would do, and answers every exception in one place."""

    def build_middleware_stack(self) -> ASGIApp:
        # FastAPI's routes keep what they opened in the stack of the inner one.
        inner = AsyncExitStackMiddleware(self.router)
        return Edge(inner, self.state.settings, self.state.budgets, self.state.measures)


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
    tracing.configure("api", configured)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = await services.start(configured, app.state.measures)
        yield
        await services.stop(app.state.services)
        app.state.measures.tallies.close()
        tracing.flush()

    app = Application(
        title=introduction.TITLE,
        version=introduction.VERSION,
        summary=introduction.SUMMARY,
        description=introduction.DESCRIPTION,
        openapi_tags=introduction.TAGS,
        servers=introduction.SERVERS,
        generate_unique_id_function=operation_id,
        telemetry=NO_TELEMETRY,
        lifespan=lifespan,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = configured
    app.state.budgets = Budgets(configured.answer_timeout)
    app.state.measures = Measures(Tallies(configured.metrics_directory))
    app.state.rate_limits = RateLimits.of(configured, app.state.measures)
    for router in (*routers, documentation.router, documentation.description, metrics.router):
        if router is place_order.router:
            app.router.routes.extend(router.routes)  # as they are: those of an included router are matched twice
        else:
            app.include_router(router)
    if found := access.unguarded(app):
        raise UnguardedRoute(", ".join(found))
    return app
