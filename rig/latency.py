"""How long the clients of two gateways wait, measured so that both see the same machine."""

import http.client
import statistics
import time
from dataclasses import dataclass
from typing import Any

from .http import Address, request_as_curl


@dataclass(frozen=True)
class Latency:
    median_ms: float
    p99_ms: float


def _timed(connection: http.client.HTTPConnection, request: tuple[Any, ...]) -> float:
    method, path, headers, body = request
    start = time.perf_counter()
    request_as_curl(connection, method, path, headers, body)
    connection.getresponse().read()
    return (time.perf_counter() - start) * 1000


def compare(first: Address, second: Address, request: tuple[Any, ...], rounds: int) -> tuple[Latency, Latency]:
    """One request to each in turn, the order changing every round: what disturbs one disturbs the other."""
    connections = [http.client.HTTPConnection(*address, timeout=10) for address in (first, second)]
    samples: tuple[list[float], list[float]] = ([], [])
    try:
        for number in range(rounds):
            for index in (0, 1) if number % 2 else (1, 0):
                samples[index].append(_timed(connections[index], request))
    finally:
        for connection in connections:
            connection.close()
    summaries = [Latency(statistics.median(each), statistics.quantiles(each, n=100)[98]) for each in samples]
    return summaries[0], summaries[1]
