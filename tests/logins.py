"""People who log in, and what they hold then."""

from dataclasses import dataclass
from typing import Any

import httpx2
from api_client import Client
from patience import patiently

ADA = {"email": "ada@example.com", "password": "a lovely day in may"}


@dataclass(frozen=True)
class Tokens:
    """What a login or a refresh is answered with."""

    access: str
    refresh: str

    @classmethod
    def of(cls, response: httpx2.Response) -> "Tokens":
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return cls(answer["access_token"], answer["refresh_token"])


def register(client: Client, **changed: str) -> httpx2.Response:
    return patiently(lambda: client.post("/v1/auth/register", json={**ADA, **changed}))


def login(client: Client, **changed: str) -> httpx2.Response:
    return patiently(lambda: client.post("/v1/auth/login", json={**ADA, **changed}))


def refresh(client: Client, token: str) -> httpx2.Response:
    return client.post("/v1/auth/refresh", json={"refresh_token": token})


def logout(client: Client, token: str) -> httpx2.Response:
    return client.post("/v1/auth/logout", json={"refresh_token": token})


def me(client: Client, token: str) -> httpx2.Response:
    return client.get("/v1/users/me", headers={"Authorization": f"Bearer {token}"})


def change_password(client: Client, token: str, current: str, new: str) -> httpx2.Response:
    return client.post(
        "/v1/auth/password",
        json={"current_password": current, "new_password": new},
        headers={"Authorization": f"Bearer {token}"},
    )
