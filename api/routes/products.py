"""The catalogue."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api import malformed
from api.answers import paging
from api.answers.paging import Cursor, Limit
from api.dependencies import OurServices, SkuInPath
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import ProductForm, Sku
from api.identity.access import SeesProducts, WritesProducts
from api.views.base import PageView
from api.views.products import ProductView
from models import errors, products
from models.products import Product

router = APIRouter(prefix="/v1/products", tags=["products"], route_class=JsonRoute)


@router.get("", responses=may_refuse(malformed.InvalidCursor))
async def list_products(
    caller: SeesProducts,
    request: Request,
    response: Response,
    services: OurServices,
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> PageView[ProductView]:
    """The catalogue in sku order."""
    cursors = paging.cursors(request, services, caller)
    after = cursors.read(cursor)[0] if cursor is not None else None
    found = await services.database.run(products.page, after, limit + 1)
    page, following = paging.cut(found, limit, lambda product: cursors.write(product.sku))
    paging.link_next(request, response, following)
    return PageView(data=[ProductView.of(each) for each in page], has_more=bool(following), next_cursor=following)


@router.get("/{sku}", responses=may_refuse(errors.NotFound))
async def get_product(caller: SeesProducts, sku: SkuInPath, services: OurServices) -> ProductView:
    """One product, whether it is for sale or not."""
    return ProductView.of(await services.database.run(products.get, sku))


@router.put("/{sku}", responses=may_refuse(errors.Conflict) | {201: {"model": ProductView}})
async def put_product(
    caller: WritesProducts,
    sku: Annotated[Sku, Path(description="the product's `sku`")],
    form: ProductForm,
    services: OurServices,
    response: Response,
) -> ProductView:
    """Create or replace a product. Prices of orders that are placed already do not change."""
    product, is_new = await services.database.run(products.put, Product(sku=sku, reserved=0, **form.model_dump()))
    response.status_code = 201 if is_new else 200
    return ProductView.of(product)
