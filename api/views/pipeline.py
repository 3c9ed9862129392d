"""What people on call get: the JSON form of how the pipeline is doing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field

from api.views.base import Timestamp, View
from models import outbox, pipeline
from models.outbox import COUNTED_MAX
from models.pipeline import Pipeline, PipelineProblem

Seconds = Annotated[float, Field(description="rounded to milliseconds")]
Count = Annotated[int, Field(description=f"{COUNTED_MAX} means: as many, or more")]


class BacklogView(View):
    kind: Annotated[str, Field(description="the task that does it")]
    depth: Count
    due: Annotated[int, Field(description="of these, what is not delayed")]
    lag_seconds: Annotated[float, Field(description="for how long the oldest of what is due has waited")]

    @classmethod
    def of(cls, backlog: outbox.Backlog) -> Self:
        return cls(kind=backlog.kind, depth=backlog.depth, due=backlog.due, lag_seconds=round(backlog.lag_seconds, 3))


class OutboxView(View):
    depth: Count
    lag_seconds: Seconds
    kinds: Sequence[BacklogView]


class LeaderView(View):
    name: str
    since: Timestamp
    beat_age_seconds: Annotated[float, Field(description="how long ago it was last heard of")]

    @classmethod
    def of(cls, leader: pipeline.Leader) -> Self:
        return cls(name=leader.name, since=leader.since, beat_age_seconds=round(leader.beat_age_seconds, 3))


class AttendanceView(View):
    alive: Annotated[int, Field(description="how many were heard of in the last 15 s")]
    leader: LeaderView | None

    @classmethod
    def of(cls, attendance: pipeline.Attendance) -> Self:
        return cls(alive=attendance.alive, leader=LeaderView.of(attendance.leader) if attendance.leader else None)


class WorkersView(View):
    alive: Annotated[int, Field(description="how many were heard of in the last 15 s")]


class HoldUpView(View):
    pid: Annotated[int | None, Field(description="of the session; null: a prepared transaction, named by `prepared`")]
    prepared: str | None
    user: str | None
    database: str | None
    application: str | None
    since: Annotated[Timestamp, Field(description="when it began, or a little before it began to write")]


class RollupsView(View):
    as_of: Timestamp
    lag_seconds: Seconds
    held_back_by: Annotated[
        HoldUpView | None, Field(description="the transaction that has kept `as_of` where it is for more than 10 s")
    ]
    audited_at: Annotated[Timestamp | None, Field(description="when days were last compared with a recount")]
    drift: Annotated[int, Field(description="how many rows were wrong then; they were repaired")]
    trusted: Annotated[bool, Field(description="false: a restored dump, or a hand in the database; a rebuild follows")]

    @classmethod
    def of(cls, rollups: pipeline.Rollups) -> Self:
        rounded = replace(rollups, lag_seconds=round(rollups.lag_seconds, 3))
        return cls.model_validate(rounded)


class PipelineView(View):
    status: Annotated[Literal["ok", "degraded"], Field(description="degraded: somebody should look at the problems")]
    problems: Sequence[PipelineProblem]
    outbox: OutboxView
    relay: AttendanceView
    workers: WorkersView
    beat: AttendanceView
    rollups: RollupsView
    stuck_orders: Count
    dead_letters: Annotated[int, Field(description="those that nobody has resolved yet")]
    overdue: Annotated[Sequence[str], Field(description="what the timetable asks for and has long not been done")]

    @classmethod
    def of(cls, seen: Pipeline) -> Self:
        return cls(
            status="degraded" if seen.problems else "ok",
            problems=seen.problems,
            outbox=OutboxView(
                depth=seen.depth,
                lag_seconds=round(seen.lag_seconds, 3),
                kinds=[BacklogView.of(each) for each in seen.outbox],
            ),
            relay=AttendanceView.of(seen.relay),
            workers=WorkersView(alive=seen.workers.alive),
            beat=AttendanceView.of(seen.beat),
            rollups=RollupsView.of(seen.rollups),
            stuck_orders=seen.stuck_orders,
            dead_letters=seen.dead_letters,
            overdue=seen.overdue,
        )
