"""The gate's cases: a fixed core, and any number of generated ones.

A case is sent on one connection, or one HTTP/2 stream, from one address. Every request in it has its own
number, in a header field and at the beginning of its body.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from rig.namespaces import CAMPUS_CLIENT, LATER_NAT, NAT, NAT_6, PRIVATE_CLIENT, STRANGER, STRANGER_6
from tests.edge.gate_changes import (
    COSTLY_LOGINS,
    FRAMINGS,
    HANDSHAKES,
    HARMLESS_BODIES,
    HARMLESS_FIELDS,
    HARMLESS_FRAMINGS,
    HARMLESS_HOSTS,
    HARMLESS_LOGINS,
    HOSTS,
    LOGINS,
    METHODS,
    ODD_FIELDS,
    RANDOM_TARGETS,
    TARGETS,
    Named,
    claims,
)
from tests.edge.gate_draft import Draft, Transport, is_allowed, last_request
from tests.edge.gate_h2_changes import H2_CHANGES
from tests.edge.gate_oracle import Door, H2Request, Policy
from tests.edge.gate_streams import HIDDEN, STREAMS, Hidden, Stream

SOURCES = (NAT, STRANGER, LATER_NAT, CAMPUS_CLIENT, PRIVATE_CLIENT, NAT_6, STRANGER_6)
# Case n names its requests n * REQUESTS, n * REQUESTS + 1 and so on.
REQUESTS = 10
AT_ONCE: Named = ("a body", lambda draft: None)
ONE_CHUNK = HARMLESS_FRAMINGS[0]
# A window of 2^15 bytes and a gzip header (zlib's manual, deflateInit2).
GZIP = 15 + 16
TRANSPORTS: tuple[Transport, ...] = ("h1", "h2", "plain")


@dataclass(frozen=True, kw_only=True)
class Case:
    """The requests of one connection."""

    number: int
    title: str
    source: str
    sent: bytes | H2Request = field(repr=False)
    # The name in the TLS handshake; None is plain HTTP on port 80.
    site: str | None
    # Bytes sent before the TLS handshake.
    preface: bytes = b""
    # Whether it needs its own connection, and whether that ends within a request.
    is_alone: bool = False
    ends_early: bool = False
    # The number of passwords that are hashed for it.
    guesses: int = 0


def _in_gzip(draft: Draft) -> None:
    draft.add(b"Content-Encoding", b"gzip")


class Cases:
    """Makes cases for a policy, numbered from `first`.

    The same seed and first number give the same cases, except the time of their lines.
    """

    def __init__(self, policy: Policy, seed: int, stamp: int, first: int = 0) -> None:
        self._policy, self._seed, self._stamp = policy, seed, stamp
        self._numbers = itertools.count(first)

    # --- the core ---

    def essential(self) -> Iterator[Case]:
        """Enough cases to catch every seeded fault: every address, claim, method, path and login."""
        for door in self._policy.doors:
            for source in SOURCES:
                for transport in TRANSPORTS:
                    yield self._one(door, source, transport, ("a push", lambda draft: None))
            for insider in self._insiders(door)[:1]:
                for change in [*METHODS, *TARGETS, *HARMLESS_FIELDS, *(LOGINS if door.accounts else [])]:
                    yield self._one(door, insider, "h1", change)
                for source in self._outsiders(door):
                    for change in claims(insider):
                        yield self._one(door, source, "h1", change)

    def core(self) -> Iterator[Case]:
        """Every change by itself, from an allowed address and from another."""
        yield from self.essential()
        for door in self._policy.doors:
            for source in self._insiders(door)[:1] + self._outsiders(door)[:1]:
                yield from self._changes(door, source)
                yield from self._streams(door, source)
            for source in self._outsiders(door):
                for address in (*self._insiders(door), "127.0.0.1", "::1"):
                    for change in claims(address):
                        yield self._one(door, source, "h2", change)

    def _changes(self, door: Door, source: str) -> Iterator[Case]:
        both = [*METHODS, *TARGETS, *RANDOM_TARGETS, *HOSTS, *HARMLESS_FIELDS, *HARMLESS_BODIES]
        for change in [*both, *ODD_FIELDS, *FRAMINGS, *HANDSHAKES]:
            yield self._one(door, source, "h1", change)
        for change in [*both, *H2_CHANGES]:
            yield self._one(door, source, "h2", change)
        if door.accounts:
            for change in LOGINS:
                yield self._one(door, source, "h1", change)
                yield self._one(door, source, "h2", change)
            yield self._one(door, source, "h1", COSTLY_LOGINS[0])

    def _streams(self, door: Door, source: str) -> Iterator[Case]:
        for stream in STREAMS:
            for hidden in HIDDEN:
                yield self._stream(door, source, stream, hidden)

    def large(self, door: Door, source: str, size: int) -> Iterator[Case]:
        """Pushes of this many bytes, with every framing."""
        ways: list[tuple[Transport, Named]] = [("h1", AT_ONCE), ("h1", ONE_CHUNK), ("h2", AT_ONCE)]
        for transport, (title, change) in ways:
            number = next(self._numbers)
            draft = self._draft(door, source, number * REQUESTS, Random(number), transport)
            draft.body = draft.body.replace(b";", b";" + b"x" * (size - len(draft.body)), 1)
            draft.is_alone = True
            yield self._finished(draft, number, [(f"{title} of {size} bytes", change)])

    def packed(self, door: Door, source: str, size: int) -> Case:
        """A push in gzip with a line of this many bytes."""
        number = next(self._numbers)
        draft = self._draft(door, source, number * REQUESTS, Random(number))
        start, end = draft.body.split(b";", 1)
        packer = zlib.compressobj(wbits=GZIP)
        block = b"x" * (1 << 20)
        packed = [packer.compress(start + b";"), *(packer.compress(block) for _ in range(size >> 20))]
        draft.body = b"".join([*packed, packer.compress(end), packer.flush()])
        return self._finished(draft, number, [("a body in gzip", _in_gzip)])

    # --- the generated ones ---

    def generated(self, count: int) -> Iterator[Case]:
        """This many cases with random changes."""
        for _ in range(count):
            number = next(self._numbers)
            yield self._generated(number, Random(f"{self._seed}/{number}"))

    def _generated(self, number: int, rng: Random) -> Case:
        door = rng.choice(self._policy.doors)
        insiders = self._insiders(door)
        kind = rng.choices(("harmless", "one", "many", "stream"), (35, 30, 25, 10))[0]
        comes_in = insiders and (kind in ("harmless", "one") or rng.random() < 0.4)
        source = rng.choice(insiders if comes_in else SOURCES)
        if kind == "stream":
            stream, hidden = rng.choice(STREAMS), rng.choice(HIDDEN)
            return self._stream(door, source, stream, hidden, number)
        transport = rng.choices(TRANSPORTS, (60, 37, 3))[0]
        draft = self._draft(door, source, number * REQUESTS, rng, transport)
        harmless = [*HARMLESS_HOSTS, *HARMLESS_FIELDS, *HARMLESS_BODIES, *HARMLESS_LOGINS]
        harmless += claims(rng.choice([*SOURCES, "127.0.0.1", "::1"]))
        harmless += HARMLESS_FRAMINGS if transport == "h1" else []
        changes = rng.sample(harmless, rng.randint(0, 3))
        if kind != "harmless":
            changes += [
                self._odd(rng, transport, door, source)
                for _ in range(1 if kind == "one" else rng.randint(2, 4))
            ]
        return self._finished(draft, number, changes)

    def _odd(self, rng: Random, transport: Transport, door: Door, source: str) -> Named:
        tables = [METHODS, TARGETS, RANDOM_TARGETS, RANDOM_TARGETS, HOSTS]
        tables += [ODD_FIELDS, FRAMINGS, FRAMINGS] if transport == "h1" else []
        tables += [H2_CHANGES, H2_CHANGES] if transport == "h2" else []
        tables += [LOGINS, LOGINS] if door.accounts else []
        tables += [COSTLY_LOGINS] if door.accounts and not is_allowed(door, source) else []
        return rng.choice(rng.choice(tables))

    # --- one case ---

    def _insiders(self, door: Door) -> list[str]:
        return [source for source in SOURCES if is_allowed(door, source)]

    def _outsiders(self, door: Door) -> list[str]:
        return [source for source in SOURCES if not is_allowed(door, source)]

    def _draft(
        self, door: Door, source: str, request: int, rng: Random, transport: Transport = "h1"
    ) -> Draft:
        return Draft(rng, self._policy, door, source, request, self._stamp, transport)

    def _one(self, door: Door, source: str, transport: Transport, change: Named) -> Case:
        number = next(self._numbers)
        draft = self._draft(door, source, number * REQUESTS, Random(f"core/{number}"), transport)
        return self._finished(draft, number, [change])

    def _finished(self, draft: Draft, number: int, changes: list[Named]) -> Case:
        for _, change in changes:
            change(draft)
        sent = draft.sent()
        if isinstance(sent, bytes) and draft.is_alone and not draft.ends_early:
            sent += last_request(self._policy)
        titles = [title for title, _ in changes] or ["a push"]
        return Case(
            number=number,
            title=f"{draft.door.prefix} over {draft.transport}: {' + '.join(titles)}",
            source=draft.source,
            sent=sent,
            site=None if draft.transport == "plain" else draft.site,
            preface=draft.preface,
            is_alone=draft.is_alone,
            ends_early=draft.ends_early,
            guesses=int(draft.is_guess()),
        )

    def _stream(
        self,
        door: Door,
        source: str,
        stream: tuple[str, Stream],
        hidden: tuple[str, Hidden],
        number: int | None = None,
    ) -> Case:
        if number is None:
            number = next(self._numbers)
        requests: list[Draft] = []

        def following() -> Draft:
            rng = Random(f"{self._seed}/{number}/{len(requests)}")
            requests.append(self._draft(door, source, number * REQUESTS + len(requests), rng))
            return requests[-1]

        sent = stream[1](following, hidden[1])
        return Case(
            number=number,
            title=f"{door.prefix} over h1: {hidden[0]}, {stream[0]}",
            source=source,
            sent=sent + last_request(self._policy),
            site=self._policy.host,
            is_alone=True,
            guesses=sum(draft.is_guess() for draft in requests),
        )
