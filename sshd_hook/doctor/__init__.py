"""What is wrong with this host, each with its cure: `sshd-hook doctor`."""
