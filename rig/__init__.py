"""The test rig: several hosts on one machine, made of network namespaces and real programs.

`campus` is the campus server: a namespace with its own Docker Engine. `world` has all of its clients,
each with its own address. `Rig` puts them together.
"""
