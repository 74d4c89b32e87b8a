"""The port policy's suites: rule sets against an oracle, swaps, lock-outs, other programs, ways round."""
