"""What changes an account, and what that ends: the sessions of its user, and the tokens that speak of it.

Tokens name their user's epoch. Where a change makes what they say of the user untrue, the epoch is one more from then
on, and every process hears of it. Sessions go on under the new epoch, unless they are to end. Every change is in the
audit log, and nothing is that changed nothing.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, and_, func, or_, select
from sqlalchemy import update as update_of

from models import audit_log, errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.identity import api_key_desk, revocations, sessions, totp, users
from models.identity.permissions import Role
from models.identity.sessions import Reason
from models.identity.users import User
from models.identity.users import users as user_table


@dataclass(frozen=True)
class Change:
    """What is to become of an account; None leaves a thing as it is."""

    role: Role | None = None
    disabled: bool | None = None


def open_service(connection: Connection, name: str, role: Role, by: UUID | None, requester: Requester) -> User:
    """Make an account for a machine, which cannot log in; `by` as in `change`.

    Raises:
        errors.Forbidden, errors.NameTaken, errors.NoAdmin
    """
    if by is not None and not users.is_admin(users.by_id(connection, by)):
        raise errors.Forbidden
    service = users.register_service(connection, name, role)
    facts = {"role": str(role), "kind": "service"}
    audit_log.record(connection, SecurityEvent(EventName.USER_CREATED, requester, service.id, facts))
    return service


def change_password(
    connection: Connection, user: User, password_hash: str, kept: UUID | None, requester: Requester
) -> bool:
    """Replace the password that was verified by the owner's new one, and end all other sessions than `kept`.

    False, and nothing is changed, if it was replaced by somebody else, or the user disabled, since `user` was read.
    """
    mine = (
        user_table.c.id == user.id,
        user_table.c.password_hash == user.password_hash,
        user_table.c.disabled_at.is_(None),
    )
    # First the user, then the sessions: a login that is about to begin one is waited for, and its session found.
    if connection.execute(update_of(user_table).where(*mine).values(password_hash=password_hash)).rowcount == 0:
        return False
    sessions.end_all(connection, user.id, Reason.PASSWORD_CHANGED, but=kept)
    audit_log.record(connection, SecurityEvent(EventName.PASSWORD_CHANGED, requester, user.id))
    return True


def set_password(connection: Connection, user_id: UUID, password_hash: str, requester: Requester) -> None:
    """Replace a password that the owner has lost, or somebody else has found; end all sessions, and all API keys."""
    connection.execute(update_of(user_table).where(user_table.c.id == user_id).values(password_hash=password_hash))
    sessions.end_all(connection, user_id, Reason.PASSWORD_SET)
    totp.forget_pending(connection, user_id)
    api_key_desk.revoke_all(connection, user_id, requester)
    audit_log.record(connection, SecurityEvent(EventName.PASSWORD_CHANGED, requester, user_id))


def rehash(connection: Connection, user: User, password_hash: str) -> User:
    """Store another hash of the same password. Whoever replaced the password meanwhile has the last word."""
    same = (user_table.c.id == user.id, user_table.c.password_hash == user.password_hash)
    stored = update_of(user_table).where(*same).values(password_hash=password_hash).returning(user_table)
    row = connection.execute(stored).one_or_none()
    return User.of(row) if row else user


def change(connection: Connection, user_id: UUID, wanted: Change, by: UUID | None, requester: Requester) -> User:
    """Give a user another role, disable or enable them; `by` is the admin who asks, None the command line.

    Raises:
        errors.NotFound: there is no such user.
        errors.Forbidden: `by` is no admin any more, whatever their token says.
        errors.OwnAccount, errors.LastAdmin: somebody would lock themselves, or everybody, out.
        errors.NoAdmin: it is a service account, which is to be an admin.
    """
    held = _hold(connection, user_id, by)
    if by is not None and not users.is_admin(held.get(by)):
        raise errors.Forbidden
    if user_id not in held:
        raise errors.NotFound
    user = held[user_id]
    if user.is_service and wanted.role is Role.ADMIN:
        raise errors.NoAdmin
    _check_lockout(user, wanted, by, held)
    values = _values(user, wanted)
    if not values:
        return user
    changed = connection.execute(
        update_of(user_table).where(user_table.c.id == user_id).values(values).returning(user_table)
    ).one()
    if wanted.disabled:
        sessions.end_all(connection, user_id, Reason.DISABLED)
        totp.forget_pending(connection, user_id)
    if changed.token_epoch != user.token_epoch:
        revocations.revoke(connection, user_id, changed.token_epoch)
    _record(connection, user, User.of(changed), requester)
    return User.of(changed)


def _record(connection: Connection, before: User, after: User, requester: Requester) -> None:
    if after.role is not before.role:
        facts = {"from": str(before.role), "to": str(after.role)}
        audit_log.record(connection, SecurityEvent(EventName.ROLE_CHANGED, requester, after.id, facts))
    if (after.disabled_at is None) != (before.disabled_at is None):
        name = EventName.USER_ENABLED if after.disabled_at is None else EventName.USER_DISABLED
        audit_log.record(connection, SecurityEvent(name, requester, after.id))


def _hold(connection: Connection, user_id: UUID, by: UUID | None) -> dict[UUID, User]:
    """The user, whoever asks, and all admins, locked in one sequence: of two admins who demote each other at once, one
    comes second and is no admin any more."""
    active_admin = and_(user_table.c.role == Role.ADMIN, user_table.c.disabled_at.is_(None))
    concerned = or_(user_table.c.id.in_([each for each in (user_id, by) if each is not None]), active_admin)
    # Not FOR UPDATE, which would hold up their orders: these have foreign keys.
    rows = connection.execute(
        select(user_table).where(concerned).order_by(user_table.c.id).with_for_update(key_share=True)
    )
    return {row.id: User.of(row) for row in rows}


def _check_lockout(user: User, wanted: Change, by: UUID | None, held: dict[UUID, User]) -> None:
    keeps_role = wanted.role in (None, Role.ADMIN)
    if not users.is_admin(user) or (keeps_role and not wanted.disabled):
        return
    if not any(users.is_admin(other) for other in held.values() if other.id != user.id):
        raise errors.LastAdmin
    if user.id == by:
        raise errors.OwnAccount


def _values(user: User, wanted: Change) -> dict[str, object]:
    """The columns that are to change. Enabling makes nothing untrue that a token could still say."""
    values: dict[str, object] = {}
    if wanted.role not in (None, user.role):
        values["role"] = wanted.role
    if wanted.disabled and user.disabled_at is None:
        values["disabled_at"] = func.now()
    if values:
        values["token_epoch"] = user_table.c.token_epoch + 1
    if wanted.disabled is False and user.disabled_at is not None:
        values["disabled_at"] = None
    return values
