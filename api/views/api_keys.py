"""API keys as they go out. The secret stands in one answer only: that to whoever made or rotated the key."""

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.views.base import Timestamp, View
from models.identity.api_key_desk import NewKey
from models.identity.api_keys import ApiKey
from models.identity.permissions import Permission

PATH = "/v1/api-keys"


class ApiKeyView(View):
    id: UUID
    user_id: Annotated[UUID, Field(description="whom it speaks for")]
    name: str
    prefix: Annotated[str, Field(description="how its secret begins; the access log names it")]
    permissions: Annotated[Sequence[Permission], Field(description="good as far as the owner's role permits them too")]
    created_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None
    rotated_to: Annotated[
        UUID | None, Field(description="the key that took its place; until `expires_at` both are good")
    ]
    last_used_at: Annotated[Timestamp | None, Field(description="a minute late, at most; null: never")]

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls.model_validate(_members(key))


class NewApiKeyView(ApiKeyView):
    secret: Annotated[str, Field(description="send it as `Authorization: Bearer`; it is not shown again")]

    @classmethod
    def with_secret(cls, made: NewKey) -> Self:
        return cls.model_validate(_members(made.key) | {"secret": made.secret})


def key_path(key_id: UUID) -> str:
    return f"{PATH}/{key_id}"


def _members(key: ApiKey) -> dict[str, object]:
    return {**vars(key), "permissions": sorted(key.permissions)}
