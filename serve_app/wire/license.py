"""Product keys in Immich's spelling. Source: spec/openapi.json."""

from typing import Annotated

from pydantic import AfterValidator

from serve_app.wire.common import PlainText, Wire, WireTime, like


class LicenseKey(Wire):
    """A key as its owner types it."""

    license_key: Annotated[PlainText, AfterValidator(like(r"^IM(SV|CL)(-[\dA-Za-z]{4}){8}$"))]
    activation_key: PlainText


class License(Wire):
    """A key that counts."""

    license_key: str
    activation_key: str
    activated_at: WireTime
