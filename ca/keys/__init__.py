"""Custody of the CA's keys."""

from ca.keys.keyring import Keyring as Keyring
from ca.keys.seal import Seal as Seal
from ca.keys.signer import Signer as Signer
