"""A request for every operation of the OpenAPI, which is answered with success when the right caller sends it.

A new operation needs a line in `SAMPLES` where the document's own example would not succeed here, and one in
`PARAMETERS` where its path has a name that no path had before.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from typing import Any
from uuid import UUID

import httpx2
from key_holders import key_of
from openapi_client import Operation
from second_factors import Enrolled, begin
from world import World

from models import transition_requests
from models.advance import Step
from models.audit_log import NOBODY
from models.identity import passwords, refresh_tokens, users
from models.identity.permissions import Permission, Role
from models.identity.refresh_tokens import Grant
from models.identity.sessions import Rules
from models.identity.users import User
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from runtime import database, settings

_numbers = count(1)


@cache
def _hash(password: str) -> str:
    return passwords.hasher(settings.current()).hash(password)


class Scene:
    """Things to ask for, each made when it is first looked at. All that a client may word freely has `word` in it.

    `role` is that of the one who asks for what is about themselves.
    """

    def __init__(self, world: World, word: str, role: Role = Role.CUSTOMER) -> None:
        self.world = world
        self.word = word
        self.role = role
        self.password = f"{word}-password"
        self.new_password = f"{word}-new-password"

    def person(self, role: Role) -> User:
        with database.transaction(database.Role.API) as connection:
            return users.register(connection, self.new_email(), _hash(self.password), role, f"{self.word} {role}")

    def new_email(self) -> str:
        return f"{self.word}-{next(_numbers)}@example.com"

    def new_name(self) -> str:
        return f"{self.word}-{next(_numbers)}"

    def new_sku(self) -> str:
        return f"SAMPLE-{next(_numbers)}"

    @cached_property
    def customer(self) -> User:
        """Whose everything here is."""
        return self.person(Role.CUSTOMER)

    @cached_property
    def oneself(self) -> User:
        return self.person(self.role)

    @cached_property
    def enrolled(self) -> Enrolled:
        """Oneself, with a second factor."""
        return Enrolled.of(self.world, self.oneself)

    def proof(self) -> dict[str, str]:
        """What changes of a second factor ask for."""
        return {"password": self.password, "totp_code": self.enrolled.phone.code()}

    @cached_property
    def sku(self) -> str:
        return self.world.product(self.new_sku(), name=self.word).sku

    def order(self) -> dict[str, Any]:
        """The form of an order."""
        reference = f"{self.word}-{next(_numbers)}"
        items = [{"sku": self.sku, "quantity": 1}]
        return {"items": items, "client_reference": reference, "metadata": {self.word: self.word}}

    @cached_property
    def order_id(self) -> UUID:
        worded = {"client_reference": self.word, "metadata": {self.word: self.word}}
        return self.world.place(self.customer, {self.sku: 1}, **worded).id

    @cached_property
    def ended_order_id(self) -> UUID:
        """One whose stream ends."""
        self.world.move(Step(self.order_id, 1, Status.PENDING, Status.CANCELLED, Actor.OWNER))
        return self.order_id

    @cached_property
    def transition_id(self) -> UUID:
        wish = Wish(Status.CANCELLED, Actor.OWNER, self.customer.id, reason=self.word)
        with database.transaction(database.Role.API) as connection:
            _, asked = transition_requests.ask(connection, self.order_id, None, wish)
        assert asked is not None
        return asked.id

    @cached_property
    def key_id(self) -> UUID:
        return key_of(self.customer).key.id

    @cached_property
    def letter_id(self) -> int:
        [[found]] = self.world.sql(
            "INSERT INTO dead_letters (kind, error, traceback, attempts, first_at, last_at)"
            " VALUES ('rollups.fold', 'ValueError', 'Traceback …', 8, now(), now()) RETURNING id"
        )
        return int(found)

    def login(self, user: User | None = None) -> Grant:
        """A session, as a login begins one."""
        with database.transaction(database.Role.API) as connection:
            grant = refresh_tokens.begin(connection, user or self.customer, Rules.of(settings.current()), NOBODY)
        assert grant is not None
        return grant


@dataclass(frozen=True)
class Sample:
    """What is to be sent instead of the document's examples; by `asker`, where it is about their own account."""

    body: Any = None
    query: str = ""
    path: Mapping[str, object] = field(default_factory=dict)
    asker: User | None = None


SAMPLES: Mapping[str, Callable[[Scene], Sample]] = {
    "POST /v1/auth/register": lambda scene: Sample(
        {"email": scene.new_email(), "password": scene.password, "name": scene.word}
    ),
    "POST /v1/auth/login": lambda scene: Sample({"email": scene.customer.email, "password": scene.password}),
    "POST /v1/auth/refresh": lambda scene: Sample({"refresh_token": scene.login().token}),
    "POST /v1/auth/logout": lambda scene: Sample({"refresh_token": scene.login().token}),
    "POST /v1/auth/password": lambda scene: Sample(
        {"current_password": scene.password, "new_password": scene.new_password}
    ),
    "POST /v1/users/me/mfa/totp": lambda scene: Sample({"password": scene.password}),
    "POST /v1/users/me/mfa/totp/confirm": lambda scene: Sample(
        {"code": begin(scene.oneself.id).code()}, asker=scene.oneself
    ),
    "POST /v1/users/me/mfa/recovery-codes": lambda scene: Sample(scene.proof(), asker=scene.enrolled.user),
    "DELETE /v1/users/me/mfa/totp": lambda scene: Sample(scene.proof(), asker=scene.enrolled.user),
    "POST /v1/api-keys": lambda scene: Sample(
        {"name": scene.word, "permissions": [Permission.SEE_PRODUCTS], "password": scene.password}
    ),
    "POST /v1/api-keys/{key_id}/rotate": lambda scene: Sample(
        {"password": scene.password}, path={"key_id": key_of(scene.oneself).key.id}, asker=scene.oneself
    ),
    "POST /v1/service-accounts": lambda scene: Sample({"name": scene.new_name(), "role": Role.STAFF}),
    "GET /v1/users": lambda scene: Sample(query=f"?email={scene.customer.email}"),
    "PATCH /v1/users/{user_id}": lambda scene: Sample({"role": Role.ANALYST}),
    "PUT /v1/products/{sku}": lambda scene: Sample(
        {"name": scene.word, "price_minor": 4200, "currency": "EUR", "on_hand": 250, "active": True},
        path={"sku": scene.new_sku()},
    ),
    "POST /v1/orders": lambda scene: Sample(scene.order()),
    "POST /v1/orders/batch": lambda scene: Sample({"orders": [{"item_reference": scene.word, **scene.order()}]}),
    "GET /v1/orders": lambda scene: Sample(
        query=f"?user_id={scene.customer.id}&sku={scene.sku}&client_reference={scene.word}"
    ),
    "GET /v1/orders/{order_id}/stream": lambda scene: Sample(path={"order_id": scene.ended_order_id}),
    "POST /v1/orders/{order_id}/transitions": lambda scene: Sample({"to": Status.CANCELLED, "reason": scene.word}),
    "POST /v1/ops/dead-letters/{letter_id}/replay": lambda scene: Sample({"reason": scene.word}),
    "POST /v1/ops/dead-letters/{letter_id}/discard": lambda scene: Sample({"reason": scene.word}),
}
# What a name in a path stands for: one of the scene, and one that nobody has.
PARAMETERS: Mapping[str, tuple[Callable[[Scene], object], str]] = {
    "order_id": (lambda scene: scene.order_id, "0193e5a0-7c1e-7000-8000-000000000001"),
    "transition_id": (lambda scene: scene.transition_id, "0193e5a0-7c1e-7000-8000-000000000002"),
    "user_id": (lambda scene: scene.customer.id, "0193e5a0-7c1e-7000-8000-000000000003"),
    "key_id": (lambda scene: scene.key_id, "0193e5a0-7c1e-7000-8000-000000000004"),
    "letter_id": (lambda scene: scene.letter_id, "999999999"),
    "sku": (lambda scene: scene.sku, "NO-SUCH-THING"),
}


@dataclass(frozen=True)
class SampleRequest:
    """A request without its caller, or by the only one of whom it makes sense."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]
    asker: User | None = None

    def send(self, http: httpx2.Client, authorization: str | None) -> httpx2.Response:
        credentials = {} if authorization is None else {"Authorization": authorization}
        return http.request(self.method, self.path, json=self.body, headers={**self.headers, **credentials})


def request_for(operation: Operation, scene: Scene, *, for_nothing: bool = False) -> SampleRequest:
    """The sample of this operation; `for_nothing`: for things that nobody has."""
    sample = SAMPLES[operation.name](scene) if operation.name in SAMPLES else Sample(operation.example())
    path = operation.path
    for name in operation.parameters("path"):
        assert name in PARAMETERS, f"{operation.name}: say in PARAMETERS (tests/sample_requests.py) what {name} is"
        present, missing = PARAMETERS[name]
        given = missing if for_nothing else sample.path.get(name) or present(scene)
        path = path.replace(f"{{{name}}}", str(given))
    headers = {name: str(uuid.uuid4()) for name, each in operation.parameters("header").items() if each.get("required")}
    return SampleRequest(operation.method, path + sample.query, sample.body, headers, sample.asker)
