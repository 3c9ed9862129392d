"""A user with multi-factor login, set up with the verbs that the API uses."""

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from phone import Phone
from world import World

from models.audit_log import NOBODY
from models.identity import mfa, recovery_codes, totp, users
from models.identity.mfa import SecondFactor
from models.identity.permissions import Role
from models.identity.totp import Outcome
from models.identity.users import User
from runtime import database, settings
from runtime.database import Role as DatabaseRole


@dataclass(frozen=True)
class Enrolled:
    """A user as they are since, their phone, and the paper they have written their recovery codes on."""

    world: World
    user: User
    phone: Phone
    recovery_codes: tuple[str, ...]

    @classmethod
    def new(cls, world: World, role: Role = Role.CUSTOMER) -> Self:
        return cls.of(world, world.user(role))

    @classmethod
    def named(cls, world: World, email: str) -> Self:
        with database.transaction(DatabaseRole.API) as connection:
            user = users.by_email(connection, email)
        assert user is not None
        return cls.of(world, user)

    @classmethod
    def of(cls, world: World, user: User) -> Self:
        """With every code the phone can show still unspent."""
        phone = begin(user.id)
        with database.transaction(DatabaseRole.API) as connection:
            change = mfa.confirm(connection, settings.current(), user.id, phone.code(), NOBODY)
            enrolled = cls(world, users.by_id(connection, user.id) or user, phone, change.recovery_codes)
        assert change.outcome.is_right
        enrolled.later()
        return enrolled

    def later(self) -> None:
        """As if so much time had passed that no code the phone can show is spent, and no wait is left."""
        self.world.sql("UPDATE totp SET last_step = 0, not_before = NULL")

    def shows(self, code: str) -> Outcome:
        with database.transaction(DatabaseRole.API) as connection:
            return totp.spend(connection, settings.current(), self.user.id, code)

    def recovers(self, code: str) -> Outcome:
        with database.transaction(DatabaseRole.API) as connection:
            shown = SecondFactor(recovery_code=code)
            return mfa.prove(connection, settings.current(), self.user.id, shown, NOBODY)

    def renewed(self) -> list[str]:
        """New recovery codes, in place of the ones on the paper."""
        with database.transaction(DatabaseRole.API) as connection:
            return recovery_codes.replace(connection, self.user.id)

    def wrong_codes(self) -> int:
        [[count]] = self.world.sql("SELECT wrong_codes FROM totp WHERE user_id = :id", id=self.user.id)
        return int(count)


def begin(user_id: UUID) -> Phone:
    """A phone with a new secret that was not confirmed yet."""
    with database.transaction(DatabaseRole.API) as connection:
        user = users.by_id(connection, user_id)
        assert user is not None
        return Phone(mfa.begin(connection, settings.current(), user).secret)
