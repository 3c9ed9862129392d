"""From a form to what the pipeline is asked to accept."""

from api import context
from api.forms import OrderForm
from api.identity.access import Caller, acting_as
from models import acceptance
from models.acceptance import Item


def request_of(form: OrderForm, caller: Caller, key: str, fingerprint: bytes) -> acceptance.Request:
    """What the pipeline is asked to accept: the form, and who sent it under which key."""
    return acceptance.Request(
        user_id=caller.id,
        actor=acting_as(caller),
        key=key,
        fingerprint=fingerprint,
        items=tuple(Item(item.sku, item.quantity) for item in form.items),
        client_reference=form.client_reference,
        metadata=form.metadata,
        request_id=context.request_id(),
        traceparent=context.traceparent(),
    )
