"""Mistakes in `grafana`."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake
from tests.support.settings import CANARY, SMTP

RULE = {"query": "up == 0", "summary": "it is away"}
MISTAKES = [
    Mistake({"grafana.stmp": {}}, "grafana.stmp: unknown key"),
    Mistake({"grafana.smtp": SMTP | {"fromAdress": "a@x.org"}}, "grafana.smtp.fromAdress: unknown"),
    Mistake(
        {"grafana.smtp": SMTP | {"host": "smtp.x.org:587"}},
        "grafana.smtp.host: a lower-case host",
        "smtp.x.org:587",
    ),
    Mistake({"grafana.smtp": SMTP | {"port": 0}}, "grafana.smtp.port: a port is", "0"),
    Mistake({"grafana.smtp": SMTP | {"fromAddress": "x"}}, "grafana.smtp.fromAddress: a mail address", "x"),
    Mistake(
        {"grafana.smtp": SMTP | {"user": "u"}}, "grafana.smtp.password: user and password are needed", "None"
    ),
    Mistake(
        {"grafana.smtp": SMTP | {"password": "p"}}, "grafana.smtp.user: user and password are needed", "None"
    ),
    Mistake({"grafana.alertsTo.mail": ["a@x.org"]}, "grafana.smtp: a mail server is needed", "None"),
    Mistake(
        {"grafana.alertsTo.mail": ["a@x.org;b@x.org"]},
        "grafana.alertsTo.mail.0: a mail address",
        "a@x.org;b@x.org",
    ),
    Mistake(
        {"grafana.adminPassword": f"{CANARY}-1"[:15]}, "grafana.adminPassword: a password that the internet"
    ),
    Mistake({"grafana.adminPassword": ""}, "grafana.adminPassword: a password has 1 to"),
    Mistake({"grafana.memoryBytes": 255 << 20}, "grafana.memoryBytes: Input should be greater", "267386880"),
    *(
        Mistake({"images.grafana": image}, "images.grafana: a -slim image has no data source", image)
        for image in ("x.org/grafana-slim:13.2.3", "grafana/grafana:slim", "grafana/grafana:13-SLIM")
    ),
    Mistake(
        {"images.grafana": "grafana/grafana:13.2.3-slim"},
        "images.grafana: a -slim image has no data source",
        "13.2.3-slim",
    ),
    Mistake(
        {"images.grafana": f"x.org:5000/grafana:13.2.3-slim-ubuntu@sha256:{'0' * 64}"},
        "images.grafana: a -slim image has no data source",
    ),
    Mistake(
        {"images.grafana": "grafana/grafana:13.2.3-distroless"},
        "images.grafana: a -distroless image has no shell",
        "13.2.3-distroless",
    ),
    *(
        Mistake(
            {"grafana.alertRules": {"r": RULE | {"query": query}}},
            f"grafana.alertRules.r.query: {says}",
            query,
        )
        for query, says in (
            ("sum(up", "PromQL is needed: unclosed left parenthesis"),
            ("rate(up)", "PromQL is needed: expected type matrix"),
            ("up[5m]", "PromQL is needed: a range of samples is no series"),
            ("(up[5m:1m])", "PromQL is needed: a range of samples is no series"),
            ('("up")', "PromQL is needed: a text is no series"),
        )
    ),
    *(
        Mistake(
            {"grafana.alertRules": {"r": RULE | {"query": query, "source": "aws"}}},
            f"grafana.alertRules.r.query: LogQL is needed: {says}",
        )
        for query, says in (
            ('{a="b"}', "a query of lines has no number"),
            ('sum(rate({a="b"}[5m])', "`(` isn't closed"),
            ('sum(rate({a="b"}[5m)))', "`)` closes nothing"),
            ('rate({a="b"} |= `x [5m])', "a text doesn't end"),
        )
    ),
    Mistake(
        {"grafana.alertRules": {"r": RULE | {"query": " "}}}, "grafana.alertRules.r.query: a query has 1 to"
    ),
    Mistake(
        {"grafana.alertRules": {"r": RULE | {"source": "third"}}},
        "grafana.alertRules.r.source: one of prometheus, aws, test",
        "third",
    ),
    Mistake(
        {"grafana.alertRules": {"r": RULE}, "prometheus": None},
        "grafana.alertRules.r.source: the area `prometheus` is needed",
        "prometheus",
    ),
    Mistake(
        {"grafana.alertRules": {"r": RULE | {"for": "5"}}}, "grafana.alertRules.r.for: a duration is", "5"
    ),
    Mistake(
        {"grafana.alertRules": {"r": RULE | {"severity": "page"}}},
        "grafana.alertRules.r.severity: Input",
        "page",
    ),
    Mistake(
        {"grafana.alertRules": {"r": RULE | {"summary": "it is $HOME"}}},
        "grafana.alertRules.r.summary: a summary is a line",
        "$HOME",
    ),
    Mistake({"grafana.alertRules": {"R": RULE}}, "grafana.alertRules.R: a name is 1 to 31"),
    Mistake(
        {"grafana.alertRules": {f"r{at}": RULE for at in range(21)}}, "grafana.alertRules: at most 20 rules"
    ),
    Mistake({"grafana.alertsTo.teams": "https://x"}, "grafana.alertsTo.teams: unknown key"),
]
