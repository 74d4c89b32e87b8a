# pyright: strict
"""Grafana's heartbeat as a provisioning file: an alert that always fires, sent to an SNS topic. Pure.

Whoever counts the topic's messages sees that Grafana evaluates rules, and that its notifications leave the
campus. No text may contain a dollar sign, since Grafana would expand a variable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from components.grafana.provisioning import FOLDER, ORGANISATION

HEARTBEAT_FILE = "alerting/heartbeat.yaml"
CONTACT_POINT = "heartbeat"
# Grafana looks this often whether it sent longer ago than this. Sending takes a moment, so that it may send
# every other time (alertmanager, notify: DedupStage): every two minutes.
EVERY = "1m"
SEVERITY = "none"
# Labels of the alerts that dashboards show: all but the heartbeat, which always fires.
BUT_HEARTBEAT = f'{{severity!="{SEVERITY}"}}'
_UID = "campus-heartbeat"
_EXPRESSIONS = "__expr__"


@dataclass(frozen=True, kw_only=True)
class HeartbeatTopic:
    """Where the heartbeat goes, and the key for it."""

    arn: str
    region: str
    key_id: str
    key: str


def render_heartbeat(topic: HeartbeatTopic | None) -> str:
    """The file; without a topic it takes the heartbeat out of Grafana, which keeps what a file no longer has.

    Grafana 13.2.0 deletes no rules (grafana#131777), so that the rule stays, paused.
    """
    contacts: dict[str, Any] = (
        {"deleteContactPoints": [{"orgId": ORGANISATION, "uid": _UID}]}
        if topic is None
        else {"contactPoints": [_contact_point(topic)]}
    )
    group = {
        "orgId": ORGANISATION,
        "name": "heartbeat",
        "folder": FOLDER,
        "interval": "1m",
        "rules": [_rule(is_sent=topic is not None)],
    }
    return json.dumps({"apiVersion": 1, **contacts, "groups": [group]}, indent=2) + "\n"


def _contact_point(topic: HeartbeatTopic) -> dict[str, Any]:
    # With the names of Grafana's integration (grafana/alerting, receivers/sns).
    settings = {
        "topic_arn": topic.arn,
        "sigv4": {"region": topic.region, "access_key": topic.key_id, "secret_key": topic.key},
        "subject": "heartbeat",
        "message": "Grafana is alive.",
    }
    receiver = {"uid": _UID, "type": "sns", "settings": settings, "disableResolveMessage": True}
    return {"orgId": ORGANISATION, "name": CONTACT_POINT, "receivers": [receiver]}


def _rule(*, is_sent: bool) -> dict[str, Any]:
    """The rule, which needs no data source, and has a contact point of its own instead of the policies'."""
    sending = {"receiver": CONTACT_POINT, "group_interval": EVERY, "repeat_interval": EVERY}
    return {
        "uid": _UID,
        "title": "Heartbeat, which always fires",
        "condition": "A",
        "data": [
            {
                "refId": "A",
                "datasourceUid": _EXPRESSIONS,
                "relativeTimeRange": {"from": 60, "to": 0},
                "model": {
                    "refId": "A",
                    "type": "math",
                    "datasource": {"type": _EXPRESSIONS, "uid": _EXPRESSIONS},
                    "expression": "1 > 0" if is_sent else "0 > 1",
                },
            }
        ],
        "for": "0s",
        # It fires even if it can't be evaluated.
        "noDataState": "Alerting" if is_sent else "OK",
        "execErrState": "Alerting" if is_sent else "OK",
        "isPaused": not is_sent,
        "labels": {"team": "campus", "severity": SEVERITY},
        "annotations": {"summary": "AWS waits for this, and mails the team when it doesn't come."},
        **({"notification_settings": sending} if is_sent else {}),
    }
