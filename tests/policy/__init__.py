"""The port policy's suites: rule sets against an oracle, swaps, lock-outs, what others do, ways round."""
