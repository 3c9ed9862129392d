"""What goes out about the catalogue."""

from typing import Annotated, Self

from pydantic import Field

from api.views.base import Minor, View
from models.products import Product


class ProductView(View):
    sku: str
    name: str
    price_minor: Minor
    currency: str
    available: Annotated[int, Field(description="on hand and not yet promised to an order")]
    active: bool

    @classmethod
    def of(cls, product: Product) -> Self:
        return cls.model_validate(product)
