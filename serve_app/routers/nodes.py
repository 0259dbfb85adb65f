"""/nodes: the machines of the cluster, and what each runs now. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.nodes import list_nodes
from serve_app.wire.node import NodeSeen, node_seen

router = APIRouter(prefix="/nodes", include_in_schema=False)


@router.get("")
def get_nodes(
    caller: Annotated[Caller, Depends(allow("queue.read", admin=True))], services: ServicesOf
) -> list[NodeSeen]:
    """Every live node, then others on which something runs."""
    return [node_seen(one) for one in list_nodes(services)]
