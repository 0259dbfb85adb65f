"""/nodes: the machines of the cluster, what each runs now, and which get nothing new. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from cluster.draining import PATIENCE_S
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.nodes import drain, let_work_again, list_nodes
from serve_app.wire.common import PlainText, Wire
from serve_app.wire.node import NodeSeen, node_seen

router = APIRouter(prefix="/nodes", include_in_schema=False)

MayDrain = Annotated[Caller, Depends(allow("queue.update", admin=True))]


class NodeDrain(Wire):
    """Why, and after how many seconds what still runs there is given back."""

    reason: Annotated[PlainText, Field(max_length=200)] = ""
    patience_s: Annotated[int, Field(ge=0, le=86_400)] = PATIENCE_S


@router.get("")
def get_nodes(
    caller: Annotated[Caller, Depends(allow("queue.read", admin=True))], services: ServicesOf
) -> list[NodeSeen]:
    """Every live node, then others on which something runs."""
    return [node_seen(one) for one in list_nodes(services)]


@router.put("/{name}/drain", status_code=204)
def drain_node(name: str, body: NodeDrain, caller: MayDrain, services: ServicesOf) -> None:
    """Start nothing more there; short work ends, long work goes to another node."""
    drain(services, name, caller, body.reason, body.patience_s)


@router.delete("/{name}/drain", status_code=204)
def undrain_node(name: str, caller: MayDrain, services: ServicesOf) -> None:
    """Let it work again."""
    let_work_again(services, name, caller)
