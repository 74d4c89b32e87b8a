"""The AWS providers: the region's real one with the caller's credentials, or an emulator on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi_aws as aws

from components.aws.settings import AwsSettings
from components.aws.watch_settings import WATCH_REGION

# Every AWS service that the stack calls in its region; an emulator serves all of them at one address.
_SERVICES = ("autoscaling", "cloudwatch", "ec2", "ecs", "iam", "logs", "ssm", "sts")
# Those that the watch calls.
_WATCH_SERVICES = ("cloudwatch", "iam", "route53", "sns", "sts")


def aws_provider(settings: AwsSettings) -> aws.Provider:
    """The provider for every AWS resource of the stack but the watch. Credentials come from AWS's usual
    places."""
    return _provider("aws", settings, settings.region, _SERVICES)


def watch_provider(settings: AwsSettings) -> aws.Provider:
    """The provider for the watch, which is in one region for all stacks, with the same credentials."""
    return _provider("aws-watch", settings, WATCH_REGION, _WATCH_SERVICES)


def _provider(name: str, settings: AwsSettings, region: str, services: Sequence[str]) -> aws.Provider:
    if settings.emulator is None:
        return aws.Provider(name, region=region)
    return aws.Provider(
        name,
        region=region,
        # Fake credentials: an emulator needs some, and they are worthless elsewhere.
        access_key="emulator",
        secret_key="emulator",
        endpoints=[aws.ProviderEndpointArgs(**dict.fromkeys(services, settings.emulator))],
        skip_credentials_validation=True,
        skip_metadata_api_check=True,
        skip_region_validation=True,
        skip_requesting_account_id=True,
    )
