# shellcheck shell=sh disable=SC2154
# The kernel itself words the file: in a table beside the policy's, for a moment, and dormant, so that no
# packet passes it.

GUARD check "$dir/policy.nft" || exit 1
text=$(sed -e 's/NFT_TABLE/&_wanted/' -e 's/^table .* {$/&\n\tflags dormant/' "$dir/policy.nft")
case $text in *"flags dormant"*) ;; *) exit 1 ;; esac
printf '%s\n' "$text" | nft -f - && listed=$(nft -s -t list table NFT_TABLE_wanted) || exit 1
nft delete table NFT_TABLE_wanted || exit 1
printf '%s\n' "$listed" | sed -e '1s/_wanted//' -e '/^\tflags dormant$/d' -e '/^$/d' | sha256sum
