"""The yardstick from everyday life: an order API as the tutorials of its libraries teach it, and as many run it.

FastAPI with synchronous endpoints in the thread pool, an SQLAlchemy ORM session per request, the current user loaded
from the database, JWT with a shared secret, idempotency keys in Redis, a task sent to Celery at the end. It is meant to
be good code of its kind and does not follow our house rules: pools are large enough for every request, the indexes are
there, and each process has a listener of its own, which `uvicorn --workers 2` would not give it. What it does not
promise (a task may be lost with the broker, one key sent twice at once makes two orders) is part of what it is.
"""
