"""The analytics rollups: folded, computed ahead, audited, and rebuilt where they cannot be trusted."""

from collections.abc import Sequence

from sqlalchemy import Connection

from models import outbox
from models.analytics import drift, hold_ups, rebuild, rollups, standard_windows
from models.analytics.drift import Drift
from models.outbox import Work
from runtime import clock, logs, settings
from workers.batches import task

log = logs.get(__name__)

REBUILD = "rollups.rebuild"


@task("rollups.fold")
def fold(connection: Connection, due: Sequence[Work]) -> None:
    """Fold new order events into the aggregates."""
    try:
        _, more = rollups.fold(connection)
    except rollups.UntrustedWatermark:
        if outbox.put(connection, REBUILD):
            log.error("the rollups' watermark is not ours, and everything is recounted")  # noqa: TRY400 - no traceback
        return
    if more:  # in a transaction of its own: a long one would hold back what comes after it
        outbox.put(connection, due[0].kind)


@task("rollups.top-users")
def compute_top_users(connection: Connection, due: Sequence[Work]) -> None:
    """Find the users with the highest revenue of a standard window that is due for it, and ask for the next one."""
    today = clock.business_day(clock.now(), settings.current().zone)
    windows = standard_windows.due(connection, today)
    if windows:
        standard_windows.compute(connection, windows[0], today)
    if len(windows) > 1:
        outbox.put(connection, due[0].kind)


@task("rollups.audit")
def audit(connection: Connection, due: Sequence[Work]) -> None:
    """Compare yesterday and any other day with a recount, and put right what is wrong."""
    today = clock.business_day(clock.now(), settings.current().zone)
    try:
        for found in drift.audit(connection, drift.days_to_audit(connection, today)):
            _tell(found)
    except rollups.UntrustedWatermark:
        log.warning("the rollups cannot be audited before they are rebuilt")


@task(REBUILD)
def recount(connection: Connection, due: Sequence[Work]) -> None:
    """Recount everything, and make the aggregates say the same."""
    for progress in rebuild.rebuild(rebuild.within(connection)):
        if progress.corrected is not None:
            log.warning("the rollups are rebuilt", orders=progress.orders, corrected=progress.corrected)


@task("rollups.report-held-back")
def report_held_back(connection: Connection, due: Sequence[Work]) -> None:
    """Say who holds the fold back, for as long as that is so."""
    found = hold_ups.holding_back(connection)
    if found is not None:
        log.warning(
            "a transaction holds the rollups back",
            pid=found.pid,
            prepared=found.prepared,
            user=found.user,
            database=found.database,
            application=found.application,
            since=found.since.isoformat(),
        )


def _tell(found: Drift) -> None:
    log.error("the rollups had drifted", day=found.day.isoformat(), table=found.table, rows=found.rows)
