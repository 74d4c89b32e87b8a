"""Mistakes in `campus` and `images`."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake

MISTAKES = [
    Mistake({"images.caddy": "caddy"}, "images.caddy: an image is named with its tag", "name:tag", "caddy"),
    Mistake({"images.caddy": ...}, "images.caddy: required key is missing"),
    Mistake({"images.loki": "grafana/loki:latest"}, "images.loki: the tag 'latest'", "latest"),
    Mistake({"campus.namePrefix": "campus"}, "campus.namePrefix: [a-z0-9_.-] and a dash at the", '"campus"'),
    Mistake({"campus.networkCidr": "172.29.0.0/24"}, "campus.networkCidr:", "172.29.0.0/24"),
    Mistake({"campus.networkCidr": "8.8.0.0/16"}, "campus.networkCidr:", "8.8.0.0/16"),
    Mistake({"campus.networkCidr": "127.0.0.0/16"}, "campus.networkCidr: a private IPv4", "127.0.0.0/16"),
    Mistake({"campus.networkCidr": "169.254.0.0/16"}, "campus.networkCidr: a private", "169.254.0.0/16"),
    Mistake({"campus.readersNetworkCidr": "172.30.0.0/16"}, "campus.readersNetworkCidr:", "/24", "172.30"),
    Mistake({"campus.readersNetworkCidr": "8.8.8.0/24"}, "campus.readersNetworkCidr: a private", "8.8.8"),
    Mistake({"campus.readersNetworkCidr": "fd00::/24"}, "campus.readersNetworkCidr: a private", "fd00::"),
    Mistake(
        {"campus.readersNetworkCidr": "172.29.7.0/24"}, "campus.readersNetworkCidr: the Lokis", "172.29.7"
    ),
    Mistake({"campus.dockerHost": "localhost"}, "campus.dockerHost: a URL", "localhost"),
    Mistake({"campus.dockerHost": "tcp://198.51.100.7:2376"}, "campus.dockerHost: a URL", "tcp://198"),
    Mistake(
        {"campus.dockerHost": "ssh://-oProxyCommand=id@campus"}, "campus.dockerHost: neither user", "-oProxy"
    ),
    Mistake({"campus.dockerHost": "ssh://me@-oProxyCommand=id"}, "campus.dockerHost: neither user", "me@-o"),
    Mistake(
        {"campus.dockerHost": "ssh://%2DoProxyCommand=id@campus"}, "campus.dockerHost: neither user", "%2D"
    ),
    Mistake({"campus.dockerHost": "npipe:////./pipe/docker_engine"}, "campus.dockerHost: a URL", "npipe"),
    Mistake({"campus.dockerHost": "ssh://me@campus:99999"}, "campus.dockerHost: a port is", "99999"),
    *(
        Mistake({"campus.dockerHost": url}, "campus.dockerHost: a URL", url)
        for url in ("ssh://", "ssh://me@", "ssh:///campus", "ssh://me@campus?a=b", "ssh://me@campus#a")
    ),
    # The value isn't shown.
    Mistake({"campus.dockerHost": "ssh://me:pass@campus"}, "campus.dockerHost: no password in a URL"),
    Mistake({"campus.address": "0.1.2.3"}, "campus.address: the address of one machine", "0.1.2.3"),
    Mistake({"campus.address": "::ffff:10.0.0.1"}, "campus.address: packets carry", "write 10.0.0.1"),
    Mistake({"images.caddy": ""}, "images.caddy:", "tag", '""'),
]
