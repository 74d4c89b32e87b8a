"""The real Caddy's answers over plain HTTP: a redirect of our own name, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.running_caddy import SITE, RunningCaddy, running_caddy


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCaddy]:
    """The real Caddy; nobody is allowed."""
    with running_caddy(tmp_path_factory.mktemp("caddy"), has_grafana=True) as made:
        yield made


@pytest.mark.parametrize("host", [SITE.domain, f"{SITE.domain}:18080", SITE.domain.upper()])
def test_our_own_name_is_redirected_to_https(caddy: RunningCaddy, host: str) -> None:
    before = caddy.log_lines()
    answer = caddy.plainly("/d/x?a=b", {"Host": host})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{SITE.domain}:{caddy.site.https_port}/d/x?a=b"
    assert "server" not in answer.headers
    [line] = caddy.new_log_lines(before)
    assert (json.loads(line)["status"], json.loads(line)["uri"]) == (308, "/d")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", f"x.{SITE.domain}", f"{SITE.domain}.x", ""])
def test_another_name_gets_no_redirect(caddy: RunningCaddy, host: str) -> None:
    before = caddy.log_lines()
    answer = caddy.plainly("/", {"Host": host})
    # Without a name Caddy itself refuses the request.
    assert answer.status_code == (421 if host else 400)
    assert not {"location", "server"} & set(answer.headers)
    [line] = caddy.new_log_lines(before)
    assert json.loads(line)["status"] == answer.status_code


def test_nothing_is_redirected_elsewhere(caddy: RunningCaddy) -> None:
    """Neither by the path, nor by a URL in the request's first line."""
    for path in ("//evil.example/", "/\\evil.example", f"http://{SITE.domain}/x", "http://evil.example/"):
        location = caddy.plainly(path).headers.get("location", "")
        assert location == "" or location.startswith(f"https://{SITE.domain}:{caddy.site.https_port}/")
