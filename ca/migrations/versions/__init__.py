"""The steps themselves, one file each."""
