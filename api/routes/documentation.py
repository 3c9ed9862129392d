"""The page for people: Swagger UI from our own process, so that it works without the internet and under a narrow CSP.

The files are those that `fastapi-offline` carries; the page starts from a script of ours, because the CSP allows none
inside it.
"""

from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.identity.access import Public
from models import errors

router = APIRouter(prefix="/docs", dependencies=[Public], include_in_schema=False)
description = APIRouter(dependencies=[Public], include_in_schema=False)

CACHE_CONTROL = "public, max-age=3600"
# Addresses are relative: they hold behind a proxy that puts a prefix before ours.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Order Pipeline</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="shortcut icon" href="docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""
START_NAME = "start.js"
CARRIED = files("fastapi_offline") / "static"
MEDIA_TYPES: Mapping[str, str] = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon.png": "image/png",
    START_NAME: "text/javascript",
}


@router.get("")
async def documentation() -> Response:
    return Response(PAGE, media_type="text/html")


@router.get("/{name}")
async def documentation_file(name: str) -> Response:
    if name not in MEDIA_TYPES:
        raise errors.NotFound
    content = START.encode() if name == START_NAME else (CARRIED / name).read_bytes()
    return Response(content, media_type=MEDIA_TYPES[name], headers={"Cache-Control": CACHE_CONTROL})


@description.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """What FastAPI would serve, from a route with a guard like every other."""
    return JSONResponse(request.app.openapi())
