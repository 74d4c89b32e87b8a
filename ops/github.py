"""The calls of GitHub's API that the workflows need; the campus runner needs no `gh`."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

from local.say import Problem

# The author of what a workflow's token writes. Only this author's texts are ever changed.
AUTHOR = "github-actions[bot]"
SECONDS = 60
PAGE = 100


class Repository:
    """The repository that the workflow runs for."""

    def __init__(self) -> None:
        self._base = f"{variable('GITHUB_API_URL')}/repos/{variable('GITHUB_REPOSITORY')}"
        self._token = variable("GH_TOKEN")

    def put_comment(self, number: str, marker: str, text: str) -> None:
        """Create or overwrite the comment on a pull request that begins with the marker."""
        comments = f"issues/{number}/comments"
        body = {"body": f"{marker}\n{text}"}
        for comment in self._all(f"{comments}?"):
            if _is_ours(comment) and comment["body"].startswith(marker):
                self._send("PATCH", f"issues/comments/{comment['id']}", body)
                return
        self._send("POST", comments, body)

    def put_issue(self, title: str, text: str) -> None:
        """Create or overwrite the open issue with that title."""
        number = self._open_issue(title)
        if number is None:
            self._send("POST", "issues", {"title": title, "body": text})
        else:
            self._send("PATCH", f"issues/{number}", {"body": text})

    def close_issue(self, title: str, text: str) -> None:
        """Close the open issue with that title, if there is one, with a last text."""
        number = self._open_issue(title)
        if number is not None:
            self._send("PATCH", f"issues/{number}", {"body": text, "state": "closed"})

    def _open_issue(self, title: str) -> int | None:
        issues = self._all("issues?state=open&")
        return next((i["number"] for i in issues if _is_ours(i) and i["title"] == title), None)

    def _all(self, resource: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            some = self._send("GET", f"{resource}per_page={PAGE}&page={page}")
            found += some
            if len(some) < PAGE:
                return found
            page += 1

    def _send(self, method: str, resource: str, body: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._base}/{resource}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Accept": "application/vnd.github+json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Problem(f"GitHub refuses {method} {resource}: {error.code} {error.reason}") from None
        except OSError as error:
            raise Problem(f"GitHub doesn't answer {method} {resource}: {error}") from None


def variable(name: str) -> str:
    """A variable that the workflow sets; a Problem if it isn't set."""
    value = os.environ.get(name)
    if not value:
        raise Problem(f"{name} is not set: this runs in a workflow (docs/ci.md)")
    return value


def _is_ours(thing: dict[str, Any]) -> bool:
    return thing["user"]["login"] == AUTHOR
