"""Clients in their own processes, so that a measurement's clients don't wait for one another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from rig.deployment import Deployment
from rig.namespaces import Namespace
from rig.probe import Client, ca_of, trust_in
from rig.processes import die_with_parent


@dataclass(frozen=True)
class Caller:
    """A client that can be sent to another process."""

    namespace: Namespace
    source: str
    server: tuple[str, int]
    domain: str
    # The certificate authority to trust, as PEM; None speaks plain HTTP.
    ca: str | None

    @classmethod
    def of(cls, deployment: Deployment, source: str) -> Caller:
        """A client in the world with this address, for the deployed Caddy."""
        client = deployment.client(source)
        return cls(client.namespace, source, client.server, client.domain, ca_of(deployment.caddy()))

    def client(self) -> Client:
        """The client itself."""
        tls = None if self.ca is None else trust_in(self.ca)
        return Client(self.namespace, self.source, self.server, self.domain, tls)


@contextmanager
def other_processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """This number of processes to run clients in; they end with this process, however it ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, context, initializer=die_with_parent) as pool:
        yield pool
