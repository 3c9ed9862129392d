"""Which routes there are, and which of them are open to everybody."""

from fastapi import routing

from api.app import ROUTERS

# DESIGN.md, section 8. Logout takes a refresh token, and needs no other.
OPEN = {
    "/health/liveness",
    "/health/readiness",
    "/docs",
    "/openapi.json",
    "/.well-known/jwks.json",
    "/v1/auth/register",
    "/v1/auth/login",
    "/v1/auth/refresh",
    "/v1/auth/logout",
}
ROUTES = sorted(
    (method, context.path_format or "")
    for router in ROUTERS
    for context in routing.iter_route_contexts(router.routes)
    for method in context.methods or ()
)
