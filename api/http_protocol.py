"""uvicorn's parser of requests, with a refusal like every other: a problem document, a request id, security headers."""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import context, problems
from api.edge import SECURITY_HEADERS
from models import errors
from runtime import logs

log = logs.get("api.access")

STATUS_LINE = f"HTTP/1.1 {HTTPStatus.BAD_REQUEST.value} {HTTPStatus.BAD_REQUEST.phrase}\r\n".encode()


class Protocol(HttpToolsProtocol):
    """Answers by itself what cannot be read, and so never becomes a request."""

    transport: Any

    def send_400_response(self, msg: str) -> None:
        request_id = context.begin(None)
        body = problems.document(errors.UnreadableRequest(), request_id)
        headers = {
            **SECURITY_HEADERS,
            b"content-type": problems.MEDIA_TYPE.encode(),
            b"content-length": str(len(body)).encode(),
            b"x-request-id": request_id.encode(),
            b"connection": b"close",
        }
        lines = [name + b": " + value + b"\r\n" for name, value in headers.items()]
        self.transport.write(b"".join([STATUS_LINE, *lines, b"\r\n", body]))
        self.transport.close()
        log.info("request", method=None, route="none", status=HTTPStatus.BAD_REQUEST.value, request_id=request_id)
