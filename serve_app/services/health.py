"""Whether the work behind the API goes on."""

from cluster.names import QueueName
from serve_app.deps import Services


def controller_lives(services: Services) -> bool:
    """Every queue has a controller that lately said so. Blocks. Raises what the database raises."""
    with services.store.transaction(reading=True) as tx:
        return services.store.owned(tx) >= set(QueueName)
