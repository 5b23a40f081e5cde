"""The page of metrics for Prometheus."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from attrs import frozen
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from plexwire_server.http._response import Response

#: The content type of the Prometheus text format.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@frozen
class _Collected(Collector):
    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def metrics_response(metrics: Iterable[Metric]) -> Response:
    """Return *metrics* in the Prometheus text format."""
    return Response(HTTPStatus.OK, generate_latest(_Collected(metrics)).decode(), CONTENT_TYPE)
