"""An API that was asked to stop could take as long as it liked, or lose what it knew (review of 25 November 2026).

`orders serve --workers 4` stopped its processes one after the other: 40 s where each had a request that used its time,
and whoever stopped the container waited for 15. Each was killed after 10 s, the very time it gave its requests, so that
none came to writing what it had noted. Where the database hung, there was no bound at all: every write was waited for,
and a cancelled one took psycopg 10 s to give up. How long each may take now: `tests/deployment/test_stopping.py`.
"""

from log_lines import log_of
from world import World

# Of the database's processes, those that serve this one are stopped (SIGSTOP): it takes what it is sent, and answers
# nothing. There is one connection for all but accepting, so that no new one gets through either.
STOPPING = """
import asyncio, os, signal, sys, time
os.environ["DATABASE_POOL_SIZE"] = "1"
sys.path.insert(0, "tests")
import psycopg
from world import World
from api import services
from api.identity.refusals import ROWS_PER_WINDOW
from api.metrics.measures import Measures
from models.audit_log import NOBODY, EventName, SecurityEvent
from runtime import settings

world, configured = World(), settings.current()
bowl, user = world.product(), world.user()
administrator = psycopg.connect(configured.database_url.get_secret_value(), autocommit=True)
[began] = administrator.execute("SELECT now()").fetchone()
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'orders_api' AND backend_start > %s"


def signal_all(pids, number):
    for pid in pids:
        os.kill(pid, number)


async def use_and_stop(pids):
    held = await services.start(configured, Measures())
    await held.acceptor.accept(world.request(user, {bowl.sku: 1}))
    for _ in range(ROWS_PER_WINDOW + 5):
        held.refusals.add(SecurityEvent(EventName.LOGIN_FAILED, NOBODY))
    while administrator.execute("SELECT count(*) FROM audit_log").fetchone() != (ROWS_PER_WINDOW,):
        await asyncio.sleep(0.05)
    pids += [pid for [pid] in administrator.execute(OURS, [began])]
    signal_all(pids, signal.SIGSTOP)
    for prefix in "abc":
        held.api_keys.use.note(prefix)
    waiting = asyncio.create_task(held.acceptor.accept(world.request(user, {bowl.sku: 1})))
    await asyncio.sleep(0.1)
    await services.stop(held, seconds=0.5)
    assert not waiting.done()


pids, asked_at = [], time.monotonic()
try:
    asyncio.run(use_and_stop(pids))
    assert time.monotonic() - asked_at < 8, "half a second was all that it was given"
finally:
    signal_all(pids, signal.SIGCONT)
"""


def test_where_the_database_hangs_a_process_ends_all_the_same_and_says_what_is_lost(world: World) -> None:
    told = log_of(STOPPING)
    assert [(line["event"], line.get("lost")) for line in told if "lost" in line] == [
        ("it is not written which API keys were used", 3),
        ("refusals are not in the audit log; each has a line here", 1),
        ("taken orders have no answer; to ask again with their keys is safe", 1),
    ]
    [refusal] = [line for line in told if "refused" in line]
    assert refusal["facts"] == {"more": 5, "accounts": "unknown"}
    assert "connections are left to be closed by the other end" not in {line["event"] for line in told}
