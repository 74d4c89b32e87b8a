"""The test rig: several hosts on one machine, made of network namespaces and real programs.

`campus` is the campus server: a namespace with a Docker Engine of its own. `world` holds
everybody who talks to it, each with an address of their own. `Rig` puts them together.
"""
