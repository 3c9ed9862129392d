"""A client that knows the API from its description alone: where things are, what to send, and what may come back.

It is given nothing but docs/openapi.json. Every answer is held against the document: a status that is not there, a
missing header, a body of another shape, a refusal that is not listed fail the test.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from json_schema import Schemas

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"
JSON = "application/json"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked of the API."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As the design spells it: method and path."""
        return f"{self.method} {self.path}"

    def parameters(self, place: str) -> dict[str, Mapping[str, Any]]:
        return {each["name"]: each for each in self.described.get("parameters", ()) if each["in"] == place}

    def example(self) -> Any:
        """The body that the document shows, to be changed at will; None where the operation takes none."""
        if "requestBody" not in self.described:
            return None
        return json.loads(json.dumps(self.described["requestBody"]["content"][JSON]["example"]))


class Description:
    """The document, by operation."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.schemas = Schemas(document)
        self.operations = {
            described["operationId"]: Operation(method.upper(), path, described)
            for path, item in document["paths"].items()
            for method, described in item.items()
        }

    @classmethod
    def committed(cls) -> "Description":
        return cls(json.loads(DOCUMENT.read_text(encoding="utf-8")))


class DescribedClient:
    """Somebody who asks for operations by name. `seen` are the answers had so far: (operation, status or code)."""

    def __init__(self, url: str, description: Description, token: str | None = None) -> None:
        self._http = httpx2.Client(base_url=url, timeout=30, trust_env=False, verify=False)
        self._description = description
        self.token = token
        self.seen: set[tuple[str, str]] = set()

    def close(self) -> None:
        self._http.close()

    def ask(
        self,
        operation_id: str,
        expected: int,
        code: str | None = None,
        /,
        *,
        body: Any = ...,
        content: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
        **parameters: str,
    ) -> httpx2.Response:
        """Ask with the document's example, as changed by the caller, and check the answer against the document.

        A header of None is left out, `from_` is the parameter `from`, `content` takes the place of the JSON body.
        """
        operation = self._description.operations[operation_id]
        path, query = self._addressed(operation, {name.rstrip("_"): value for name, value in parameters.items()})
        if content is None and "requestBody" in operation.described:
            content = json.dumps(operation.example() if body is ... else body).encode()
        sent = self._headers(operation, headers or {})
        response = self._http.request(operation.method, path, params=query, content=content, headers=sent)
        assert response.status_code == expected, (operation_id, response.status_code, response.text[:500])
        self._check(operation_id, operation, response)
        assert code is None or response.json()["code"] == code, response.text
        self.seen.add((operation_id, code or str(expected)))
        return response

    def _addressed(self, operation: Operation, given: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        in_path = operation.parameters("path")
        path = operation.path.format(**{name: given.get(name, each.get("example")) for name, each in in_path.items()})
        return path, {name: value for name, value in given.items() if name not in in_path}

    def _headers(self, operation: Operation, given: Mapping[str, str | None]) -> dict[str, str]:
        headers: dict[str, str | None] = {"Content-Type": JSON} if "requestBody" in operation.described else {}
        if operation.described["security"] and self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        for name, each in operation.parameters("header").items():
            if each.get("required"):
                headers[name] = str(uuid.uuid4())
        return {name: value for name, value in {**headers, **given}.items() if value is not None}

    def _check(self, operation_id: str, operation: Operation, response: httpx2.Response) -> None:
        where = f"{operation_id} {response.status_code}"
        described = operation.described["responses"].get(str(response.status_code))
        assert described is not None, f"{where} is not documented"
        for name, header in described.get("headers", {}).items():
            resolved = self._description.schemas.resolve(header)
            assert name in response.headers or not resolved.get("required"), f"{where} lacks {name}"
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        content = described.get("content", {})
        assert (media_type in content) if response.content else not content or media_type, f"{where}: {media_type}"
        if media_type in (JSON, PROBLEM) and response.content:
            flaws = self._description.schemas.flaws(content[media_type]["schema"], response.json())
            assert not flaws, f"{where}: {flaws}"
        if media_type == PROBLEM:
            assert response.json()["code"] in content[PROBLEM]["examples"], f"{where}: {response.json()['code']}"
