"""What is refused before anything is touched, where no Docker host is asked."""

from __future__ import annotations

import pytest

from components.campus.preflight import PLACEHOLDER_DIGEST, check_placeholders
from components.settings import SettingsError, parse
from tests.rig.stack import merged, settings_of

GUARD = "campus-monitor:images.portGuard: the digest is a placeholder: push the image"
ROUTER = "campus-monitor:services.client-api.logRouter.image: the digest is a placeholder: name the digest"
APP = "campus-monitor:services.client-api.containers.app.image: the digest is a placeholder"


@pytest.mark.parametrize("stack", ["stage", "prod"])
def test_a_placeholder_is_shown_by_a_preview_and_refused_by_an_update(stack: str) -> None:
    app = {"containers": {"app": {"image": f"nginx:1@{PLACEHOLDER_DIGEST}"}}}
    settings = parse(merged(settings_of(stack), {"services": {"client-api": app}}))
    problems = check_placeholders(settings, is_preview=True)
    assert [line.startswith(begins) for line, begins in zip(problems, [GUARD, ROUTER, APP], strict=True)] == [
        True
    ] * 3
    with pytest.raises(SettingsError) as caught:
        check_placeholders(settings, is_preview=False)
    assert caught.value.problems == problems


def test_the_local_stack_has_none() -> None:
    assert check_placeholders(parse(settings_of("local")), is_preview=False) == []
