"""The usual way: a projection in Python that takes one event after the other, with the `eventsourcing` library."""

from decimal import Decimal
from functools import singledispatchmethod
from time import perf_counter
from uuid import UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.projection import Projection, ProjectionRunner
print
