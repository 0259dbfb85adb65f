"""Calls an app as one person; every answer is held against what Immich publishes."""

from typing import Any

import httpx

from tests.api_client import check_answer
from tests.api_stack import AppClient, Person


class CheckedClient:
    """`person` None: somebody without credentials."""

    def __init__(self, client: AppClient, person: Person | None) -> None:
        self._client, self._person = client, person

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {} if self._person is None else self._person.headers
        response = self._client.request(method, path, headers=headers, **given)
        check_answer(response, method, path)
        return response

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of an answer that went well; `params` go into the query."""
        return self._well(self.request("GET", path, params=params))

    def post(self, path: str, **body: Any) -> Any:
        return self._well(self.request("POST", path, json=body))

    def put(self, path: str, **body: Any) -> Any:
        return self._well(self.request("PUT", path, json=body))

    def patch(self, path: str, **body: Any) -> Any:
        return self._well(self.request("PATCH", path, json=body))

    def delete(self, path: str, **body: Any) -> Any:
        return self._well(self.request("DELETE", path, json=body))

    def refused(self, method: str, path: str, **given: Any) -> tuple[int, str]:
        """Status and message of one that did not."""
        response = self.request(method, path, **given)
        return response.status_code, response.json()["message"]

    @staticmethod
    def _well(response: httpx.Response) -> Any:
        assert response.is_success, response.text
        return response.json() if response.content else None
