"""The tutorial's sessions: one per request, from a pool with room for every connection of the load."""

import os
from collections.abc import Iterator

from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

engine = create_engine(os.environ["TUTORIAL_DATABASE_URL"], pool_size=40, max_overflow=24)
SessionLocal = sessionmaker(engine)


def get_session() -> Iterator[Session]:
    with SessionLocal() as session:
        yield session
