"""The caller's own account, and the public keys that verify tokens."""

import base64

from fastapi import APIRouter

from api.dependencies import OurServices
from api.edge.json_bodies import JsonRoute
from api.identity.access import Public, SeesAccount
from api.views.accounts import UserView
from models import errors
from models.identity import users

router = APIRouter(tags=["users"], route_class=JsonRoute)


@router.get("/v1/users/me")
async def get_me(caller: SeesAccount, services: OurServices) -> UserView:
    """Who I am."""
    user = await services.database.run(users.by_id, caller.id)
    if user is None:
        raise errors.InvalidToken
    return UserView.of(user)


@router.get("/.well-known/jwks.json", dependencies=[Public])
async def get_keys(services: OurServices) -> dict[str, list[dict[str, str]]]:
    """The public keys that verify our access tokens (RFC 7517, RFC 8037)."""
    return {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": _base64url(key)}
            for kid, key in services.tokens.public_keys().items()
        ]
    }


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
