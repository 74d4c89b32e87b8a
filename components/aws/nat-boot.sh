#!/bin/sh
# Made by campus-monitor. Its output is in /var/log/cloud-init-output.log.
imds=http://169.254.169.254/latest
token=$(curl -sf --retry 10 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$imds/api/token")
ask() { curl -sf -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/$1"; }
instance=$(ask instance-id)
own=$(ask "network/interfaces/macs/$(ask mac)/interface-id")

# First the address, and only then the interface that the routes lead to: nothing leaves from another address.
until aws ec2 associate-address --region REGION --allocation-id ALLOCATION_ID \
    --network-interface-id "$own" --allow-reassociation; do
  sleep 5
done
until [ "$(ask public-ipv4)" = PUBLIC_IP ]; do
  sleep 1
done
echo eni_id=INTERFACE_ID >/etc/fck-nat.conf
until systemctl restart fck-nat; do
  sleep 5
done

# The update waits for this before it switches the routes.
until aws autoscaling complete-lifecycle-action --region REGION --auto-scaling-group-name GROUP \
    --lifecycle-hook-name HOOK --instance-id "$instance" --lifecycle-action-result CONTINUE; do
  sleep 5
done
