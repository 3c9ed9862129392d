"""What goes out about users, their tokens and their second factor. Secrets stand in one answer only."""

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.views.base import Timestamp, View
from models.identity.permissions import Role
from models.identity.users import User


class UserView(View):
    id: UUID
    email: Annotated[str | None, Field(description="null: a service account, which cannot log in")]
    name: str | None
    role: Role
    created_at: Timestamp

    @classmethod
    def of(cls, user: User) -> Self:
        return cls.model_validate(user)


class AccountView(UserView):
    disabled_at: Annotated[Timestamp | None, Field(description="since when they cannot log in; null: they can")]


class TokensView(View):
    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    refresh_token: str


class MfaView(View):
    enabled_at: Annotated[Timestamp | None, Field(description="null: the password suffices")]
    required: Annotated[bool, Field(description="whether the caller's role needs it")]
    recovery_codes_left: int


class TotpView(View):
    secret: Annotated[str, Field(description="base 32, for typing it into an authenticator app; shown this once")]
    otpauth_uri: Annotated[str, Field(description="the same, for a QR code")]


class RecoveryCodesView(View):
    recovery_codes: Annotated[Sequence[str], Field(description="each good once, instead of a code; shown this once")]
