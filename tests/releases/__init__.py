"""Debian 11, 12 and 13 with systemd as the first process: the package's whole life on each.

`make releases`. Needs root, debootstrap and, the first time, Debian's packages: the bare systems
are kept in build/releases/. What is done to them is done in overlays and namespaces.
"""
