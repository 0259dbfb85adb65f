"""HEAD, as monitors and load balancers send it."""

from tests.api_stack import ApiStack, AppClient


def test_head_is_answered_like_get_without_a_body(client: AppClient, stack: ApiStack) -> None:
    headers = stack.add_person("ada", is_admin=True).headers
    for path in ("/server/ping", "/users/me", "/jobs", "/albums"):
        whole, head = client.get(path, headers=headers), client.request("HEAD", path, headers=headers)
        assert (whole.status_code, head.status_code, head.content) == (200, 200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
    nobody = "/people/0f7e0d4c-3c3c-4f0e-9d3c-1d2f3a4b5c6d/thumbnail"
    assert (
        client.request("HEAD", nobody, headers=headers).status_code == client.get(nobody, headers=headers).status_code
    )
    assert client.request("HEAD", "/users/me").status_code == 401
    assert client.request("HEAD", "/no/such").status_code == 404


def test_head_of_a_stream_ends(client: AppClient, stack: ApiStack) -> None:
    headers = stack.add_person("ada", is_admin=True).headers
    assert client.request("HEAD", "/queue-activity/stream", headers=headers).status_code == 200
