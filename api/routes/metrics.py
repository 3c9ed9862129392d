"""What a monitoring system reads. It is for those who run this, and not part of what is promised to clients."""

from fastapi import APIRouter, Response

from api.dependencies import OurServices
from api.identity.access import Scrapes
from api.metrics import exposition

router = APIRouter(dependencies=[Scrapes], include_in_schema=False)


@router.get("/metrics")
async def metrics(services: OurServices) -> Response:
    """All metrics of all API processes, and of the pipeline, in Prometheus' text form."""
    spelled = exposition.spell(services.measures, await services.scrape.read())
    return Response(spelled, media_type=exposition.CONTENT_TYPE)
