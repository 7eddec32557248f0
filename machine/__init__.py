"""A private machine on this one: real sshd, PAM and name service that touch nothing outside it.

Used by the tests, the benchmarks and the demo; not shipped.
"""
