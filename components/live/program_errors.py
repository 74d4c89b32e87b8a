# pyright: strict
"""A program's own errors, made readable. Pure: text in, text out."""

from __future__ import annotations

import json
import re


def readable(errors: str) -> str:
    """A program's errors without notices, our own folders or secrets."""
    return errors_in(errors) or "no reason given"


def errors_in(output: str) -> str:
    """The errors in any output, each once; empty if there are only notices."""
    lines = [text for line in output.splitlines() if (text := _line(line))]
    # A program that is started again and again says the same each time.
    chosen = dict.fromkeys(line for line in lines if line.startswith("Error:")) or lines[-10:]
    return _without_secrets(re.sub(r"/\.tree-[0-9a-f]+", "", "\n".join(chosen)))


def reasons_in(log: str) -> str:
    """The reasons in the `level=error` lines of a program's logfmt log; empty if there are none.

    URLs are left out: they may be webhooks', and so secret.
    """
    lines = [line for line in log.splitlines() if re.search(r"\blevel=error\b", line)]
    reasons = [
        ": ".join(_quoted(line, key) for key in ("msg", "error", "err") if _quoted(line, key))
        for line in lines
    ]
    return _without_secrets(re.sub(r"https?://[^\s\"'\\]+", "[URL]", "\n".join(dict.fromkeys(reasons))))


def _quoted(line: str, key: str) -> str:
    """A value of a logfmt line; empty if it is missing."""
    found = re.search(rf'(?:^|\s){key}=(?:"((?:[^"\\]|\\.)*)"|(\S+))', line)
    return re.sub(r"\\(.)", r"\1", found[1] or found[2] or "") if found else ""


def _line(line: str) -> str:
    """A line made readable; empty for a notice. Caddy's may be an entry of its JSON log."""
    try:
        entry = json.loads(line)
        level, message = entry["level"], entry["msg"]
    except (ValueError, KeyError, TypeError):
        return "" if re.search(r"\t(DEBUG|INFO|WARN)\t", line) else line.strip()
    return "" if level in ("debug", "info", "warn") else f"Error: {message}"


def _without_secrets(text: str) -> str:
    text = re.sub(r"\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]*", "[hash]", text)
    return re.sub(r"://[^/\s:@]*:[^/\s@]*@", "://[login]@", text)
