"""What a new system needs to be tried out: a small catalogue, and demo users where the local profile asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from models.identifiers import uuid7
from models.identity import passwords
from models.identity.permissions import Role
from models.identity.users import normal_email, users
from models.products import products
from runtime import database
from runtime.settings import Settings

CURRENCY = "EUR"
ON_HAND = 10_000_000

# sku, name, price in cents
CATALOGUE: tuple[tuple[str, str, int], ...] = (
    ("APRON-LINEN", "Linen apron", 3450),
    ("BASKET-WILLOW", "Willow basket", 2890),
    ("BLANKET-WOOL", "Wool blanket", 8900),
    ("BOWL-OAK", "Oak bowl", 4200),
    ("BRUSH-BEECH", "Beech dish brush", 790),
    ("CANDLE-BEESWAX", "Beeswax candle", 1250),
    ("CARAFE-GLASS", "Glass carafe", 2150),
    ("CLOCK-WALL", "Wall clock", 6400),
    ("COFFEE-FILTER", "Coffee filter, porcelain", 1990),
    ("CUP-ENAMEL", "Enamel cup", 990),
    ("CUTTING-BOARD", "Cutting board, walnut", 5400),
    ("GRINDER-PEPPER", "Pepper grinder", 3900),
    ("JAR-STORAGE", "Storage jar, one litre", 1190),
    ("KETTLE-STEEL", "Steel kettle", 4990),
    ("KNIFE-PARING", "Paring knife", 2650),
    ("LAMP-DESK", "Desk lamp", 11900),
    ("MUG-STONEWARE", "Stoneware mug", 1490),
    ("NOTEBOOK-A5", "Notebook, A5", 890),
    ("PAN-IRON", "Iron pan", 5990),
    ("PILLOW-DOWN", "Down pillow", 7450),
    ("STOOL-ASH", "Ash stool", 12900),
    ("TEAPOT-CAST", "Cast-iron teapot", 6890),
    ("TOWEL-TERRY", "Terry towel", 1890),
    ("VASE-CLAY", "Clay vase", 3290),
)


@dataclass(frozen=True)
class DemoUser:
    email: str
    password: str
    name: str
    role: Role


def run(settings: Settings, demo_users: Sequence[DemoUser] = ()) -> int:
    """Add what is not there yet, change nothing that is; returns how many rows were added.

    A demo user whose password has changed (the data directory's secrets were made anew) gets the new one.
    """
    engine = database.engine(settings, database.Role.OWNER)
    try:
        with engine.begin() as connection:
            return _catalogue(connection) + sum(_demo_user(connection, settings, user) for user in demo_users)
    finally:
        engine.dispose()


def _catalogue(connection: Connection) -> int:
    rows = [
        {"sku": sku, "name": name, "price_minor": price, "currency": CURRENCY, "on_hand": ON_HAND, "active": True}
        for sku, name, price in CATALOGUE
    ]
    statement = insert(products).values(rows).on_conflict_do_nothing(index_elements=["sku"])
    return len(connection.execute(statement.returning(products.c.sku)).all())


def _demo_user(connection: Connection, settings: Settings, user: DemoUser) -> int:
    email = normal_email(user.email)
    known = connection.execute(select(users.c.password_hash).where(users.c.email == email)).scalar_one_or_none()
    if known is not None and passwords.matches(settings, known, user.password):
        return 0
    password_hash = passwords.hasher(settings).hash(user.password)
    statement = insert(users).values(
        id=uuid7(), email=email, name=user.name, role=user.role, password_hash=password_hash, created_at=func.now()
    )
    connection.execute(statement.on_conflict_do_update(index_elements=["email"], set_={"password_hash": password_hash}))
    return 1
