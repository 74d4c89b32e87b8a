"""Our own certificate authorities, and certificates from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import trustme


@dataclass(frozen=True)
class Authority:
    """An authority's certificate, and a server's certificate from it, with its key. All as PEM."""

    root: str
    certificate: str
    key: str

    @property
    def all(self) -> bytes:
        """The key and both certificates, as in a server's file."""
        return (self.key + self.certificate + self.root).encode()


def made_authority(host: str, begins: float = -1.0, ends: float = 89.0) -> Authority:
    """A new authority, and a certificate for a host's name or address, valid for days from now."""
    now, authority = datetime.now(UTC), trustme.CA(organization_name="A test's own")
    made = authority.issue_cert(
        host, not_before=now + timedelta(days=begins), not_after=now + timedelta(days=ends)
    )
    [certificate] = made.cert_chain_pems
    pem = (authority.cert_pem, certificate, made.private_key_pem)
    return Authority(*(one.bytes().decode() for one in pem))
