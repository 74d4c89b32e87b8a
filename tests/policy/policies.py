"""Rule sets in the guard's form."""

from __future__ import annotations

import subprocess

from components.port_policy.nftables import render_policy
from components.port_policy.settings import PortRule
from tests.policy.rule_sets import RuleSet
from tests.policy.site import Site


def rendered(rules: RuleSet) -> str:
    """The policy's text for the settings' rules."""
    return render_policy([PortRule.model_validate(rule).rule for rule in rules])


def load_without_guard(site: Site, policy: str) -> None:
    """Load a policy as the guard does, without a guard that would repair it."""
    names = [f'"{bridge}"' for bridge in site.bridges()]
    elements = f"add element inet campus_policy container_bridges {{ {', '.join(names)} }}\n"
    if "set container_bridges {" in policy:  # not in the empty policy
        policy += elements
    command = ["nsenter", f"--net={site.campus.path}", "nft", "-f", "-"]
    done = subprocess.run(command, input=policy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
