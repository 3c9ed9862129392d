"""What comes in: closed, strict models. A field that is not here cannot be set by a client."""

import hashlib
import re
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from models import money
from models.identity import api_key_desk, passwords
from models.identity.mfa import SecondFactor
from models.identity.permissions import FOR_KEYS, Permission, Role
from models.identity.users import EMAIL_CHARACTERS_MAX, SERVICE_NAME_PATTERN
from models.lifecycle import Status
from models.products import SKU_PATTERN

ON_HAND_MAX = 1_000_000_000
BATCH_ORDERS_MAX = 100


def _currency(code: str) -> str:
    if not money.is_currency(code):
        raise ValueError("expected an ISO 4217 currency code in capitals")
    return code


def _spelled(pattern: str, expected: str) -> BeforeValidator:
    """Pydantic would take a number of seconds as well, for a day and for a time."""
    spelling = re.compile(pattern, re.ASCII)

    def check(given: object) -> object:
        if isinstance(given, str) and not spelling.fullmatch(given):
            raise ValueError(f"expected {expected} (ISO 8601)")
        return given

    return BeforeValidator(check)


AS_A_DAY = _spelled(r"\d{4}-\d{2}-\d{2}", "a day such as 2026-03-02")
AS_A_TIME = _spelled(r"\d{4}-\d{2}-\d{2}[Tt ].{5,40}", "a time such as 2026-03-02T09:00:00Z")
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
ClientReference = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]
Sku = Annotated[str, StringConstraints(pattern=SKU_PATTERN)]
# The pattern is for readers of the description; the check is stricter.
Currency = Annotated[
    str, AfterValidator(_currency), Field(description="ISO 4217", json_schema_extra={"pattern": "^[A-Z]{3}$"})
]
# That it is long enough is judged with its strength: to who chooses it, both are the same fault.
Password = Annotated[str, StringConstraints(max_length=passwords.CHARACTERS_MAX)]
GivenPassword = Annotated[str, StringConstraints(min_length=1, max_length=passwords.CHARACTERS_MAX)]
Email = Annotated[str, StringConstraints(min_length=3, max_length=EMAIL_CHARACTERS_MAX)]


# Any name that an outbox row or a message can have.
TaskName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.?()-]{1,100}$")]


class Form(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Registration(Form):
    email: Email
    password: Password
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


TotpCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), Field(description="of the authenticator app")]
RecoveryCode = Annotated[str, StringConstraints(min_length=1, max_length=64), Field(description="good once")]


class SecondFactorForm(Form):
    totp_code: TotpCode | None = None
    recovery_code: RecoveryCode | None = None

    @model_validator(mode="after")
    def _one_at_most(self) -> Self:
        if self.totp_code is not None and self.recovery_code is not None:
            raise ValueError("send totp_code or recovery_code, not both")
        return self

    @property
    def second_factor(self) -> SecondFactor:
        return SecondFactor(self.totp_code, self.recovery_code)


class Login(SecondFactorForm):
    email: Email
    password: GivenPassword


class Reauthentication(Form):
    password: GivenPassword


class MfaReauthentication(SecondFactorForm):
    password: GivenPassword

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not self.second_factor.is_shown:
            raise ValueError("send totp_code or recovery_code")
        return self


class TotpConfirmation(Form):
    code: TotpCode


class RefreshToken(Form):
    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class PasswordChange(Form):
    current_password: GivenPassword
    new_password: Password


class UserChange(Form):
    # As in TransitionForm: what arrives is the enumeration's JSON string.
    role: Annotated[Role | None, Field(strict=False)] = None
    disabled: bool | None = None


def _for_keys(permission: Permission) -> Permission:
    if permission not in FOR_KEYS:
        raise ValueError("no API key can be given this permission")
    return permission


def _for_services(role: Role) -> Role:
    if role is Role.ADMIN:
        raise ValueError("a service account cannot be an admin, because it cannot log in")
    return role


def _no_permission_twice(permissions: list[Permission]) -> list[Permission]:
    if len(set(permissions)) != len(permissions):
        raise ValueError("the same permission is named twice")
    return permissions


KeyPermission = Annotated[
    Permission,
    Field(strict=False),
    AfterValidator(_for_keys),
    WithJsonSchema({"type": "string", "enum": sorted(FOR_KEYS)}),
]
ServiceRole = Annotated[
    Role,
    Field(strict=False),
    AfterValidator(_for_services),
    WithJsonSchema({"type": "string", "enum": [role for role in Role if role is not Role.ADMIN]}),
]
LifeDays = Annotated[int, Field(ge=1, le=api_key_desk.LIFE_DAYS_MAX)]


class ServiceAccountForm(Form):
    name: Annotated[str, StringConstraints(pattern=SERVICE_NAME_PATTERN)]
    role: ServiceRole


class ApiKeyForm(Form):
    name: Annotated[str, StringConstraints(min_length=1, max_length=api_key_desk.NAME_CHARACTERS_MAX)]
    permissions: Annotated[
        list[KeyPermission],
        Field(min_length=1, max_length=len(FOR_KEYS), json_schema_extra={"uniqueItems": True}),
        AfterValidator(_no_permission_twice),
    ]
    expires_in_days: LifeDays = api_key_desk.LIFE_DAYS
    user_id: Annotated[UUID | None, Field(strict=False, description="a service account; absent: yourself")] = None
    password: Annotated[GivenPassword, Field(description="of who asks")]


class RotationForm(Form):
    overlap_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=int(api_key_desk.OVERLAP_MAX.total_seconds()),
            description="for how long the old key is good as well",
        ),
    ] = int(api_key_desk.OVERLAP.total_seconds())
    expires_in_days: LifeDays = api_key_desk.LIFE_DAYS
    password: Annotated[GivenPassword, Field(description="of who asks")]


class ProductForm(Form):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    price_minor: Annotated[int, Field(ge=0, le=money.PRICE_MINOR_MAX)]
    currency: Currency
    on_hand: Annotated[int, Field(ge=0, le=ON_HAND_MAX)]
    active: bool


class ItemForm(Form):
    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=money.QUANTITY_MAX)]


MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=40)]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
# In one order, because the order of an object's members means nothing: neither does it change the fingerprint.
Metadata = Annotated[
    dict[MetadataKey, MetadataValue], Field(max_length=20), AfterValidator(lambda pairs: dict(sorted(pairs.items())))
]


def _no_sku_twice(items: list[ItemForm]) -> list[ItemForm]:
    if len({item.sku for item in items}) != len(items):
        raise ValueError("the same sku stands on several lines; add up their quantities")
    return items


class OrderForm(Form):
    items: Annotated[list[ItemForm], Field(min_length=1, max_length=money.LINES_MAX), AfterValidator(_no_sku_twice)]
    client_reference: ClientReference | None = None
    metadata: Metadata = Field(default_factory=dict, json_schema_extra={"default": {}})


class BatchItemForm(OrderForm):
    item_reference: Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _no_reference_twice(orders: list[BatchItemForm]) -> list[BatchItemForm]:
    if len({order.item_reference for order in orders}) != len(orders):
        raise ValueError("two orders have the same item_reference")
    return orders


class BatchForm(Form):
    orders: Annotated[
        list[BatchItemForm], Field(min_length=1, max_length=BATCH_ORDERS_MAX), AfterValidator(_no_reference_twice)
    ]


def fingerprint(form: Form) -> bytes:
    """SHA-256 of the canonical form: the same request has one fingerprint, however its JSON was spelled."""
    return hashlib.sha256(form.model_dump_json().encode()).digest()


class TransitionForm(Form):
    # Strict mode would take only the enum itself; what arrives is its JSON string.
    to: Annotated[Status, Field(strict=False)]
    reason: Text | None = None
    tracking_number: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None


class ReplayForm(Form):
    reason: Text | None = None


class DiscardForm(Form):
    reason: Text
