"""Deny by default: no route is open by mistake, and no app with an unguarded route starts."""

import pytest
from api_client import Client, assert_problem
from api_routes import OPEN, ROUTES
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from api.app import ROUTERS, UnguardedRoute, create_app
from api.identity import access
from api.identity.access import Public, SeesAccount


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] not in OPEN])
@pytest.mark.parametrize("query", ["", "?unknown=1", "?limit=x"])
def test_without_a_token_nothing_is_answered(anonymous: Client, method: str, path: str, query: str) -> None:
    for content in (None, b"{", b"{}"):
        response = anonymous.request(
            method,
            path.replace("{", "").replace("}", "") + query,
            content=content,
            headers={"Content-Type": "application/json"},
        )
        assert_problem(response, 401, "invalid_token")
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/docs"), ("GET", "/openapi.json"), *(route for route in ROUTES if route[1] in OPEN)]
)
def test_what_is_open_is_open(anonymous: Client, method: str, path: str) -> None:
    assert anonymous.request(method, path).status_code in (200, 415)


async def answer() -> dict[str, str]:
    return {}


def test_an_app_with_an_unguarded_route_is_found_out() -> None:
    router = APIRouter(prefix="/inner")
    router.add_api_route("/open", answer)
    app = FastAPI(docs_url=None, openapi_url=None, redoc_url=None)
    app.add_api_route("/public", answer, dependencies=[Public])
    app.add_api_route("/open", answer)
    app.include_router(router)
    assert access.unguarded(app) == ["['GET'] /open", "['GET'] /inner/open"]


@pytest.mark.parametrize(
    "route",
    [
        Route("/plain", PlainTextResponse("open to all")),
        Mount("/files", PlainTextResponse("open to all")),
        WebSocketRoute("/socket", PlainTextResponse("open to all")),
    ],
    ids=lambda route: type(route).__name__,
)
def test_what_cannot_have_a_guard_is_found_out(route: Route | Mount | WebSocketRoute) -> None:
    app = FastAPI(docs_url=None, openapi_url=None, redoc_url=None)
    app.router.routes.append(route)
    assert len(access.unguarded(app)) == 1


def test_a_guarded_route_passes() -> None:
    async def guarded(caller: SeesAccount) -> None: ...

    app = FastAPI()
    app.add_api_route("/guarded", guarded)
    assert [each for each in access.unguarded(app) if "/guarded" in each] == []


def test_our_own_app_starts_and_with_an_unguarded_route_it_would_not() -> None:
    router = APIRouter()
    router.add_api_route("/open", answer)
    assert access.unguarded(create_app()) == []
    with pytest.raises(UnguardedRoute, match="/open"):
        create_app(routers=[*ROUTERS, router])
