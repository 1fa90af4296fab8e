"""The AsyncAPI document: which queues a service consumes, which events it publishes, and what they carry."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any, Literal

from faststream.rabbit import QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.specification import AsyncAPI
from faststream.specification.asyncapi import get_asyncapi_html
from pydantic import create_model

from shared.contracts import contract_of
from shared.events import EVENT_CONTENT_TYPE, Event
from shared.topology import EXCHANGE, Topology


def document(topology: Topology, *, consumes: Iterable[str], publishes: Iterable[str]) -> bytes:
    """Return the document as JSON. Consumers read bytes for speed, so it is made from the contracts instead."""
    json: str = _specification(topology, consumes, publishes).to_json()
    return json.encode()


def page(topology: Topology, *, consumes: Iterable[str], publishes: Iterable[str]) -> str:
    """Return the document as a page."""
    html: str = get_asyncapi_html(_specification(topology, consumes, publishes))
    return html


def _specification(topology: Topology, consumes: Iterable[str], publishes: Iterable[str]) -> Any:  # noqa: ANN401
    broker = RabbitBroker("amqp://broker:5672/", description="CloudEvents 1.0 on RabbitMQ")
    _describe_consuming(broker, topology, sorted(consumes))
    for event_type in sorted(publishes):
        broker.publisher(
            exchange=RabbitExchange(EXCHANGE),
            routing_key=event_type,
            title=event_type,
            description="Sent once or more, in any order; the highest sequence per subject is the truth.",
            schema=_envelope(event_type),
            content_type=EVENT_CONTENT_TYPE,
        )
    return AsyncAPI(broker, title=topology.service, version="1", schema_version="3.0.0").to_specification()


def _describe_consuming(broker: RabbitBroker, topology: Topology, consumes: list[str]) -> None:
    async def apply(event: Event) -> None:
        """Applied in groups, acknowledged after the commit."""

    if consumes:
        apply.__annotations__["event"] = reduce(or_, map(_envelope, consumes))
    for queue in (topology.events, topology.bulk):
        broker.subscriber(RabbitQueue(queue, durable=True, queue_type=QueueType.QUORUM), title=queue)(apply)


def _envelope(event_type: str) -> Any:  # noqa: ANN401 - a model made at run time
    name = "".join(part.capitalize() for part in event_type.replace("_", ".").split("."))
    fields: dict[str, Any] = {
        "type": (Literal[event_type], event_type),
        "data": (contract_of(event_type).model, ...),
    }
    return create_model(name, __base__=Event, **fields)
