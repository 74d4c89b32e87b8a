"""The AWS provider: the region's real one with the caller's credentials, or an emulator on this machine."""

from __future__ import annotations

import pulumi_aws as aws

from components.aws.settings import AwsSettings

# Every AWS service that this stack calls; an emulator serves all of them at one address.
_SERVICES = ("autoscaling", "cloudwatch", "ec2", "ecs", "iam", "logs", "ssm", "sts")


def aws_provider(settings: AwsSettings) -> aws.Provider:
    """The provider for every AWS resource of the stack. Credentials come from AWS's usual places."""
    if settings.emulator is None:
        return aws.Provider("aws", region=settings.region)
    return aws.Provider(
        "aws",
        region=settings.region,
        # Fake credentials: an emulator needs some, and they are worthless elsewhere.
        access_key="emulator",
        secret_key="emulator",
        endpoints=[aws.ProviderEndpointArgs(**dict.fromkeys(_SERVICES, settings.emulator))],
        skip_credentials_validation=True,
        skip_metadata_api_check=True,
        skip_region_validation=True,
        skip_requesting_account_id=True,
    )
