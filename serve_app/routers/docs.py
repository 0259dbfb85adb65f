"""/docs: every route that is served, on one plain page that needs nothing from another host."""

from html import escape

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

router = APIRouter(tags=["docs"], include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title} API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }}
  td {{ padding: .15rem 1rem .15rem 0; vertical-align: top }} h2 {{ margin-bottom: .25rem }}
</style>
<h1>{title} {version}</h1>
<p>The whole description, for tools: <a href="openapi.json">openapi.json</a>.
Send a session token as <code>Authorization: Bearer …</code>, or an API key as <code>x-api-key</code>.</p>
{areas}
</html>"""


@router.get("/docs", response_class=HTMLResponse)
def show_docs(request: Request) -> str:
    """The routes by area, each with its first words."""
    described = request.app.openapi()
    areas: dict[str, list[str]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            words = operation.get("description") or operation.get("summary", "")
            row = f"<tr><td><code>{method.upper()}</code><td><code>{escape(path)}</code><td>{escape(words)}"
            areas.setdefault(operation.get("tags", ["other"])[0], []).append(row)
    tables = [f"<h2>{escape(area)}</h2><table>{''.join(rows)}</table>" for area, rows in areas.items()]
    return PAGE.format(title=described["info"]["title"], version=described["info"]["version"], areas="".join(tables))
