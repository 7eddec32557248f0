"""The engineers' command `amrgate`: log in, hold a certificate, let `ssh` renew it by itself."""
