# pyright: strict
"""Caddy's settings: the site, its certificate and its ports. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from components.edge import connection_limit
from components.live.programs import LETS_ENCRYPT
from components.values.area import Area
from components.values.networks import MAX_PORT, Cidr, Port, refuse_wide
from components.values.texts import MailAddress, checked_host_name
from components.values.value_rule import ValueRule

# Let's Encrypt's staging environment (its documentation, "Staging Environment").
ACME_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"

# For these names Caddy issues certificates itself, or asks Tailscale, whatever authority is set (certmagic,
# SubjectIsInternal; its modules/caddyhttp/autohttps.go).
_NOT_PUBLIC = (".localhost", ".local", ".internal", ".home.arpa", ".ts.net")


_SITE = ValueRule("a DNS name is needed: an address would get a certificate of Caddy's own authority")
_DIRECTORY = ValueRule("the URL of an ACME directory is needed, https://host/path")


def _site_name(value: str) -> str:
    checked_host_name(value)
    last = value.rpartition(".")[2]
    # A host that ends in a number is a form of IPv4 address (the URL standard, "ends in a number").
    if re.fullmatch(r"\d+|0x[0-9a-f]*", last):
        raise ValueError(_SITE.words)
    return value


def _acme_directory(value: str) -> str:
    # Only characters that a Caddyfile takes literally: no placeholder, no quotation mark, no white space.
    match = re.fullmatch(
        r"https://(?P<host>[A-Za-z0-9.-]+|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(:(?P<port>\d{1,5}))?"
        r"(/([A-Za-z0-9._~/-]|%[0-9A-Fa-f]{2})*)?",
        value,
    )
    if (
        not match
        or (match["port"] and not 1 <= int(match["port"]) <= MAX_PORT)
        or (match["ipv6"] and not _is_ipv6(match["ipv6"]))
    ):
        raise ValueError(_DIRECTORY.words)
    host = match["host"].lower()
    if host == urlsplit(ACME_STAGING).hostname:
        raise ValueError("Let's Encrypt's staging environment is `tls: acme-staging`, without edge.acme")
    if host == urlsplit(LETS_ENCRYPT).hostname:
        raise ValueError("Let's Encrypt is what `tls: acme` asks anyway: leave edge.acme out")
    return value


SiteName = Annotated[str, AfterValidator(_site_name), _SITE]
AcmeDirectory = Annotated[str, AfterValidator(_acme_directory), _DIRECTORY]


class AcmeSettings(Area):
    """An ACME authority instead of Let's Encrypt."""

    directory: AcmeDirectory
    """The authority's directory is at this URL (RFC 8555, section 7.1.1)."""
    root: Annotated[str, ValueRule("PEM certificates of authorities are needed")] | None = None
    """Caddy trusts only these PEM certificates when it connects to the authority; by default, the
    usual ones."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problem = None if self.root is None else _root_problem(self.root)
        if self.root is not None and problem:
            # Without the value, which is long and may be a key.
            raise ValueError(f"root: {problem}, received {len(self.root)} characters")
        return self

    @property
    def root_file(self) -> str:
        """The name of the root's file. It differs per root, since Caddy reads a file only once."""
        return f"acme-root-{hashlib.sha256((self.root or '').encode()).hexdigest()[:16]}.pem"


class EdgeSettings(Area):
    """Caddy, the only way in: its name, certificate and ports."""

    domain: SiteName
    """People and shippers reach Caddy at this DNS name."""
    tls: Literal["acme", "acme-staging", "internal"]
    """Certificates come from Let's Encrypt or the authority in `acme` (`acme`), from Let's Encrypt's staging
    environment (`acme-staging`), or from Caddy's own authority (`internal`)."""
    email: MailAddress | None = None
    """The ACME account has this mail address; only `tls: internal` needs none."""
    acme: AcmeSettings | None = None
    """Caddy gets its certificate from this authority [instead of Let's Encrypt](#another-acme-authority)."""
    http_port: Port = 80
    """Caddy answers HTTP on this port: ACME challenges and redirects."""
    https_port: Port = 443
    """Caddy answers HTTPS on this port."""
    http3: bool = False
    """Caddy serves HTTP/3 too, over UDP on `httpsPort`, which the port policy must allow."""
    connections_per_source: Annotated[
        int, ValueRule(f"from {connection_limit.LEAST} to {connection_limit.MOST}")
    ] = connection_limit.DEFAULT
    """An IPv4 address or IPv6 /64 may have this many open TCP connections to Caddy, a /48 four times as many
    ([enforced by the port policy](port-policy.md#rules))."""
    extra_allowed_cidrs: tuple[Cidr, ...] = ()
    """These addresses of operators may push to every route, besides the route's own list."""
    allow_wide: bool = False
    """Entries of `extraAllowedCidrs` may be wider than one address."""

    @property
    def certificate_lasts_weeks(self) -> bool:
        """Whether a certificate with a few days left is one that wasn't renewed.

        Caddy's own authority issues them for 12 hours, and a private one for as long as it likes.
        """
        return self.tls != "internal" and (self.acme is None or self.acme.root is None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tls != "internal" and self.email is None:
            raise ValueError(f"email: an address is required with tls: {self.tls}, received {self.email!r}")
        if self.tls != "internal" and ("." not in self.domain or self.domain.endswith(_NOT_PUBLIC)):
            raise ValueError(
                f"domain: a public DNS name is needed with tls: {self.tls}; to others Caddy gives "
                f"certificates that nobody trusts, received {self.domain!r}"
            )
        if self.acme is not None and self.tls != "acme":
            raise ValueError(f"acme: only for tls: acme, received tls {self.tls!r}")
        if self.http_port == self.https_port:
            raise ValueError(f"httpPort: must differ from httpsPort, received {self.http_port}")
        least, most = connection_limit.LEAST, connection_limit.MOST
        if not least <= self.connections_per_source <= most:
            raise ValueError(
                f"connectionsPerSource: from {least}, for a few browsers behind one address, to "
                f"{most}, so that no stranger can fill Caddy's memory, "
                f"received {self.connections_per_source}"
            )
        if not self.allow_wide:
            for cidr in self.extra_allowed_cidrs:
                refuse_wide("extraAllowedCidrs", cidr)
        return self


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _root_problem(text: str) -> str | None:
    """What is wrong with an authority's root; None if nothing is."""
    kinds = re.findall(r"-----BEGIN ([^-]*)-----", text)
    if set(kinds) != {"CERTIFICATE"}:
        return "certificates as PEM are needed (-----BEGIN CERTIFICATE-----…), and nothing else"
    # Comments between them needn't be ASCII.
    whole = re.findall(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", text)
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        trusted.load_verify_locations(cadata="\n".join(whole))
    except (ssl.SSLError, ValueError):
        whole = []
    if len(whole) < len(kinds):
        return "a certificate can't be read"
    if len(trusted.get_ca_certs()) < trusted.cert_store_stats()["x509"]:
        return "an authority's certificate is needed, not that of a server"
    return None
