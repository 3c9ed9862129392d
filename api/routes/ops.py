"""What people on call ask: how is the pipeline doing?"""

from fastapi import APIRouter

from api.dependencies import OurServices
from api.edge.json_bodies import JsonRoute
from api.identity.access import SeesPipeline
from api.views.pipeline import PipelineView
from models import pipeline

router = APIRouter(prefix="/v1/ops", tags=["ops"], route_class=JsonRoute)


@router.get("/pipeline")
async def get_pipeline(caller: SeesPipeline, services: OurServices) -> PipelineView:
    """What waits and for how long, who is there, and what somebody has to look at."""
    return PipelineView.of(await services.database.run(pipeline.look))
