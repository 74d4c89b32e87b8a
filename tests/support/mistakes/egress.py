"""Mistakes in `egress` and `aws`."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake

MISTAKES = [
    Mistake(
        {"egress.create.zones": ["ap-northeast-2a"]},
        "egress.create.zones: at least two",
        "['ap-northeast-2a']",
    ),
    Mistake(
        {"egress.create.zones": ["ap-northeast-2a", "eu-central-1b"]},
        "egress.create.zones: zones of aws.region (ap-northeast-2)",
        "'eu-central-1b'",
    ),
    Mistake(
        {"aws.region": "eu-central-1"},
        "egress.create.zones: zones of aws.region (eu-central-1)",
        "northeast-2a",
    ),
    Mistake(
        {"egress.create.addresses": ["10.0.0.1"]},
        "egress.create.addresses.0: the address must be",
        "10.0.0.1",
    ),
    Mistake(
        {"egress.create.addresses": ["203.0.113.7", "203.0.113.8"]}, "egress.create.addresses: one per", ".8"
    ),
    Mistake({"egress.create.nat": "router"}, "egress.create.nat: ", "router"),
    Mistake(
        {"egress.create.natImage": "ami-0123456789abcdef0"},
        "egress.create.natImage: a NAT gateway has none",
        "ami-0123456789abcdef0",
    ),
    Mistake(
        {"egress.create.nat": "instance", "egress.create.natImage": "fck-nat"},
        "egress.create.natImage: an id such as ami-",
        "'fck-nat'",
    ),
    Mistake(
        {"egress.create.tags": {"campus-monitor-nat": "prod"}},
        "egress.create.tags: the stack sets campus-monitor-nat itself",
        "'prod'",
    ),
    Mistake(
        {"egress.create.addresses": [], "egress.create.allocationIds": ["203.0.113.7"]},
        "egress.create.allocationIds: an id such as eipalloc-",
        "'203.0.113.7'",
    ),
    Mistake(
        {"egress.create.allocationIds": ["eipalloc-00000001"]},
        "egress.create.allocationIds: either these or addresses",
        "203.0.113.7",
    ),
    Mistake(
        {"egress.create.addresses": [], "egress.create.allocationIds": ["eipalloc-00000001"] * 2},
        "egress.create.allocationIds: one per NAT gateway (1) or none",
        "eipalloc-00000001",
    ),
    Mistake(
        {
            "egress.create.addresses": [],
            "egress.create.natPerZone": True,
            "egress.create.allocationIds": ["eipalloc-00000001"] * 2,
        },
        "egress.create.allocationIds: each address once",
        "eipalloc-00000001",
    ),
    Mistake({"egress.create.vpcCidr": "10.0.0.0/28"}, "egress.create.vpcCidr:", "10.0.0.0/28"),
    *(
        Mistake({"aws.emulator": url}, "aws.emulator: a URL on this machine", url)
        for url in (
            *("http://10.0.0.1:15000", "http://127.0.0.1.example.org:1", "https://127.0.0.1:15000"),
            *("http://127.0.0.1", "http://127.0.0.1:99999", "nonsense"),
        )
    ),
    Mistake({"aws.region": "seoul"}, "aws.region:", "seoul"),
    Mistake(
        {"aws.alarmTopicArn": "arn:aws:sqs:ap-northeast-2:123456789012:alarms"},
        "aws.alarmTopicArn: an SNS topic's ARN is needed",
        "sqs",
    ),
    Mistake(
        {"aws.kmsKeyArn": "arn:aws:kms:ap-northeast-2:123456789012:alias/logs"},
        "aws.kmsKeyArn: a KMS key's ARN is needed, not an alias",
        "alias/logs",
    ),
    Mistake(
        {"aws.kmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"},
        "aws.kmsKeyArn: a key in ap-northeast-2 is needed",
        "eu-central-1",
    ),
    Mistake({"egress": {}}, "egress.create: exactly one of create, lookup and given", "[]"),
    Mistake(
        {"egress": {"given": {"addresses": ["203.0.113.7"]}, "lookup": {"addressTags": {"a": "b"}}}},
        "egress.create: exactly one",
        "lookup",
    ),
    Mistake({"egress": {"given": {"addresses": []}}}, "egress.given.addresses"),
    Mistake(
        {"egress": {"given": {"addresses": ["10.0.0.1"]}}},
        "egress.given.addresses.0: the address must be global",
        "10.0.0.1",
    ),
    *(
        Mistake(
            {"egress": {"given": {"addresses": [address]}}},
            "egress.given.addresses.0: the address must be global",
            address,
        )
        for address in ("240.0.0.1", "255.255.255.255", "0.1.2.3")
    ),
    Mistake(
        {"egress": {"given": {"addresses": ["224.0.0.1"]}}},
        "egress.given.addresses.0: the address must be",
        "224.0.0.1",
    ),
    Mistake(
        {"egress": {"given": {"addresses": ["203.0.113.7/32"]}}},
        "egress.given.addresses.0: one IPv4 address",
        "/32",
    ),
    Mistake(
        {"egress": {"given": {"addresses": ["203.0.113.7"] * 2}}},
        "egress.given.addresses: each address once",
        "113.7",
    ),
    Mistake({"egress": {"lookup": {}}}, "egress.lookup.natGatewayIds: exactly one of", "[]"),
    Mistake(
        {"egress": {"lookup": {"natGatewayTags": {"a": "b"}, "addressTags": {"a": "b"}}}},
        "egress.lookup.natGatewayIds: exactly one of",
        "addressTags",
    ),
    Mistake(
        {"egress": {"lookup": {"natGatewayIds": ["igw-1"]}}},
        "egress.lookup.natGatewayIds: an id such as",
        "igw-1",
    ),
    Mistake(
        {"egress": {"lookup": {"natGatewayIds": ["nat-0123456"]}}},
        "egress.lookup.natGatewayIds: an id such as nat-",
        "'nat-0123456'",
    ),
    Mistake(
        {"egress": {"lookup": {"natGatewayIds": ["nat-00000001"] * 2}}},
        "egress.lookup.natGatewayIds: each gateway once",
        "nat-00000001",
    ),
    Mistake(
        {"egress": {"given": {"addresses": ["203.0.113.7"]}, "vpcId": "x"}},
        "egress.vpcId: an id such as vpc-",
        "'x'",
    ),
    Mistake(
        {"egress": {"create": {"zones": ["ap-northeast-2a", "ap-northeast-2c"]}, "vpcId": "vpc-00000001"}},
        "egress.vpcId: with create",
        "vpc-00000001",
    ),
    Mistake(
        {"egress": {"create": {"zones": ["ap-northeast-2a", "ap-northeast-2z"]}}},
        "egress.create.zones: an availability zone",
        "2z",
    ),
    Mistake(
        {"egress": {"create": {"zones": ["ap-northeast-2a", "ap-northeast-2c"], "tags": {"Name": "x"}}}},
        "egress.create.tags: the stack sets Name",
        "'x'",
    ),
]
