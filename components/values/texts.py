# pyright: strict
"""Names, images, passwords and other texts that several settings share. Pure."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from components.live.password_rule import SIZE_RULE, password_problem
from components.values.networks import PORT
from components.values.value_rule import ValueRule

HOST_NAME = ValueRule("a lower-case host name is needed, without scheme or port")
_IMAGE = ValueRule("an image is named with its tag: name:tag or name:tag@sha256:<64 hex digits>")
_DOCKER_HOST = ValueRule("a URL is needed: ssh://user@host or unix:///path")


def checked_host_name(value: str) -> str:
    labels = value.split(".")
    label = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035, section 2.3.1
    if len(value) > 253 or not all(label.fullmatch(part) for part in labels):
        raise ValueError(HOST_NAME.words)
    return value


def _image(value: str) -> str:
    pattern = r"[a-z0-9][a-z0-9._/:-]*?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(@sha256:[0-9a-f]{64})?"
    if not re.fullmatch(pattern, value):
        raise ValueError(_IMAGE.words)
    if value.split("@")[0].endswith(":latest"):
        raise ValueError("the tag 'latest' changes under a running system: name a version")
    return value


def checked_password(value: SecretStr) -> SecretStr:
    problem = password_problem(value.get_secret_value())
    if problem:
        raise ValueError(problem)
    return value


def _docker_host(value: str) -> str:
    if has_password(value):
        raise ValueError("no password in a URL, which is in the state and in logs: use an SSH key")
    # A tcp:// engine makes every client root, and no setting has certificates to guard it.
    if not re.fullmatch(r"unix:///\S+|ssh://([^\s/?#@]+@)?[^\s/?#@][^\s?#@]*", value):
        raise ValueError(_DOCKER_HOST.words)
    # `%2D` is a dash too: readers of the URL decode it.
    if re.search(r"(^ssh://|@)(-|%2[Dd])", value):
        raise ValueError("neither user nor host may begin with a dash, which ssh takes for an option")
    if not _has_good_port(value):
        raise ValueError(PORT.words)
    return value


def has_password(text: str) -> bool:
    """Whether a URL, or a login, contains a password. Readers of a URL decode `%3A`, a colon."""
    return bool(re.match(r"(\w+://)?+[^/]*(:|%3[Aa]).*@", text))


def _has_good_port(url: str) -> bool:
    """Whether the URL has no port, or a valid one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


HostName = Annotated[str, AfterValidator(checked_host_name), HOST_NAME]
ShortName = Annotated[
    str,
    ValueRule("a name is 1 to 31 characters of [a-z0-9-] and begins with a letter", r"[a-z][a-z0-9-]{0,30}"),
]
UserName = Annotated[
    str, ValueRule("a user name is 1 to 64 characters of [A-Za-z0-9._-]", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
]
Image = Annotated[str, AfterValidator(_image), _IMAGE]
Password = Annotated[SecretStr, AfterValidator(checked_password), ValueRule(SIZE_RULE)]
DockerHost = Annotated[str, AfterValidator(_docker_host), _DOCKER_HOST]
# Grafana's list of addresses is separated by semicolons, commas or line breaks. In a Caddyfile a quotation
# mark or a backslash would end the text, and a brace begin a placeholder.
MailAddress = Annotated[
    str,
    ValueRule(
        "a mail address is needed, such as operators@example.org",
        r"[A-Za-z0-9.!#%&*+/=?^_`|~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+",
    ),
]
# An alias may lead to another key tomorrow; IAM policies name keys.
KeyArn = Annotated[
    str,
    ValueRule(
        "a KMS key's ARN is needed, not an alias: arn:aws:kms:<region>:<account>:key/<id>",
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f-]{36})",
    ),
]
