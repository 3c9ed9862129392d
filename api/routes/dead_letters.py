"""Dead letters, for the people who run the system: listing them, reading one, replaying or discarding it."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, Field

from api import malformed
from api.answers import paging
from api.answers.paging import Cursor, Limit
from api.dependencies import By, LetterId, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import AS_A_TIME, DiscardForm, ReplayForm, TaskName
from api.identity.access import Caller, ResolvesDeadLetters, SeesDeadLetters
from api.views.base import PageView
from api.views.dead_letters import PATH, DeadLetterDetailView, DeadLetterView
from models import dead_letter_desk, dead_letters, errors
from models.audit_log import Requester
from models.dead_letter_desk import Resolver
from models.dead_letters import Filter, State
from runtime import logs

log = logs.get(__name__)

router = APIRouter(prefix=PATH, tags=["ops"], route_class=JsonRoute)

UNEXPLAINED = ReplayForm()
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Moment = Annotated[
    AwareDatetime | None, Query(description="given up at this time or later"), Field(ge=EARLIEST, le=LATEST), AS_A_TIME
]


async def _filter(
    state: Annotated[State, Query(description="`open`: nobody has resolved them yet")] = State.OPEN,
    kind: Annotated[TaskName | None, Query(description="the name of the task")] = None,
    order_id: Annotated[UUID | None, Query(description="the order they are about")] = None,
    since: Moment = None,
) -> Filter:
    return Filter(state, kind, order_id, since)


@router.get("", responses=may_refuse(malformed.InvalidCursor))
async def list_dead_letters(
    caller: SeesDeadLetters,
    request: Request,
    response: Response,
    services: OurServices,
    narrowed: Annotated[Filter, Depends(_filter)],
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> PageView[DeadLetterView]:
    """Work that was tried often enough, the newest first."""
    cursors = paging.cursors(request, services, caller)
    before = int(cursors.read(cursor)[0]) if cursor else None
    found = await services.database.run(dead_letters.page, narrowed, before, limit + 1)
    page, following = paging.cut(found, limit, lambda letter: cursors.write(letter.id))
    paging.link_next(request, response, following)
    return PageView(
        data=[DeadLetterView.of(letter) for letter in page], has_more=bool(following), next_cursor=following
    )


@router.get("/{letter_id}", responses=may_refuse(errors.NotFound))
async def get_dead_letter(caller: SeesDeadLetters, letter_id: LetterId, services: OurServices) -> DeadLetterDetailView:
    """One dead letter, with the traceback of its last attempt."""
    return DeadLetterDetailView.of(await services.database.run(dead_letters.get, letter_id))


@router.post(
    "/{letter_id}/replay",
    responses=may_refuse(
        errors.NotFound, errors.LetterResolved, errors.NothingToReplay, errors.InvalidTransition, errors.StaleVersion
    ),
)
async def replay_dead_letter(
    caller: ResolvesDeadLetters, letter_id: LetterId, services: OurServices, by: By, form: ReplayForm = UNEXPLAINED
) -> DeadLetterDetailView:
    """Have the work done after all. `resolved_how` says what that came to; asking again answers the same.

    A failed order is asked back to pending, for `reason`. A transition that somebody asked for stays refused.
    """
    letter = await services.database.run(
        dead_letter_desk.replay, letter_id, _resolver(caller, by), services.policy, form.reason
    )
    log.info("dead letter replayed", letter=letter.id, how=letter.resolved_how, caller=str(caller.id))
    return DeadLetterDetailView.of(letter)


@router.post("/{letter_id}/discard", responses=may_refuse(errors.NotFound, errors.LetterResolved))
async def discard_dead_letter(
    caller: ResolvesDeadLetters, letter_id: LetterId, services: OurServices, by: By, form: DiscardForm
) -> DeadLetterDetailView:
    """Put a letter away, for a reason. Its work will not be done; a failed order stays failed."""
    letter = await services.database.run(dead_letter_desk.discard, letter_id, _resolver(caller, by), form.reason)
    log.info("dead letter discarded", letter=letter.id, caller=str(caller.id))
    return DeadLetterDetailView.of(letter)


def _resolver(caller: Caller, by: Requester) -> Resolver:
    return Resolver(str(caller.id), caller.id, by.request_id, by.client_address)
