"""Whether this process lives, and whether it can serve."""

import asyncio
from http import HTTPStatus

from fastapi import APIRouter
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from api.dependencies import OurServices
from api.identity.access import Public
from api.patience import soon
from api.services import Services
from api.views.health import Check, ChecksView, LivenessView, ReadinessView
from models import migrations

router = APIRouter(prefix="/health", tags=["health"], dependencies=[Public])

PROBE_SECONDS = 1.0


@router.get("/liveness")
async def liveness() -> LivenessView:
    """This process answers. No database, no broker."""
    return LivenessView()


@router.get(
    "/readiness",
    responses={
        200: {"model": ReadinessView},
        503: {"model": ReadinessView, "description": "not ready; `checks` say why"},
    },
)
async def readiness(services: OurServices) -> JSONResponse:
    """Whether orders can be accepted. A lost broker delays work and loses none of it: degraded, and still ready."""
    (database, schema), broker = await asyncio.gather(_database(services), _broker(services))
    checks = ChecksView(database=database, migrations=schema, broker=broker)
    if not (database is Check.OK and schema is Check.OK):
        return _json(ReadinessView(status="unavailable", checks=checks), HTTPStatus.SERVICE_UNAVAILABLE)
    return _json(ReadinessView(status="degraded" if broker is not Check.OK else "ok", checks=checks), HTTPStatus.OK)


def _json(view: ReadinessView, status: HTTPStatus) -> JSONResponse:
    return JSONResponse(view.model_dump(mode="json"), status)


async def _database(services: Services) -> tuple[Check, Check]:
    try:
        revision = await soon(lambda: services.database.run(_revision), PROBE_SECONDS)
    except (SQLAlchemyError, TimeoutError, OSError):
        return Check.FAILED, Check.FAILED
    if services.lookout.is_blind:  # Whatever else could be asked, this process answers no caller.
        return Check.FAILED, Check.FAILED
    # A revision this code does not know is a newer one: during an upgrade the old processes go on serving.
    is_behind = revision != migrations.head() and revision in migrations.revisions()
    return Check.OK, Check.BEHIND if is_behind else Check.OK


def _revision(connection: Connection) -> str:
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


async def _broker(services: Services) -> Check:
    url = services.settings.broker_url.get_secret_value()
    try:
        await soon(lambda: _ping(url), PROBE_SECONDS)
    except (RedisError, TimeoutError, OSError):
        return Check.DEGRADED
    return Check.OK


async def _ping(url: str) -> None:
    async with Redis.from_url(url) as client:
        await client.ping()
