"""Somebody who sets up multi-factor login over HTTP, and logs in with it."""

from typing import Any

import httpx2
from api_client import Shop
from patience import patiently
from phone import Phone

PASSWORD = "a lovely day in may"
MFA = "/v1/users/me/mfa"
TOTP = f"{MFA}/totp"


class Account:
    """An account of somebody who knows its password, and what they have set up."""

    def __init__(self, shop: Shop, email: str) -> None:
        self.shop = shop
        self.email = email
        self.client = shop.client()
        assert patiently(lambda: self.client.post("/v1/auth/register", json=self.credentials())).status_code == 201
        self.phone: Phone | None = None
        self.recovery_codes: list[str] = []

    def credentials(self, **more: str) -> dict[str, str]:
        return {"email": self.email, "password": PASSWORD, **more}

    def login(self, **more: str) -> httpx2.Response:
        return patiently(lambda: self.client.post("/v1/auth/login", json=self.credentials(**more)))

    def enter(self, **more: str) -> dict[str, Any]:
        """Log in, and act with that token from now on."""
        answer = self.login(**more)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        self.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        return tokens

    def begin(self, password: str = PASSWORD) -> httpx2.Response:
        return self.client.post(TOTP, json={"password": password})

    def confirm(self, code: str) -> httpx2.Response:
        return self.client.post(f"{TOTP}/confirm", json={"code": code})

    def enrol(self) -> None:
        self.phone = Phone(self.begin().json()["secret"])
        confirmed = self.confirm(self.phone.code(-1))
        assert confirmed.status_code == 200, confirmed.text
        self.recovery_codes = confirmed.json()["recovery_codes"]

    def change(self, method: str, path: str, **proof: str) -> httpx2.Response:
        return self.client.request(method, path, json={"password": PASSWORD, **proof})

    def code(self, steps_later: int = 0) -> str:
        assert self.phone is not None
        return self.phone.code(steps_later)

    def wrong_code(self) -> str:
        assert self.phone is not None
        return self.phone.wrong_code()
