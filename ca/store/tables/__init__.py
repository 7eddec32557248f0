"""Every table. Times are seconds since the epoch, UTC, as in certificates.

What is secret is here only as a hash (`…_hash`, SHA-256 of something random, in hex) or sealed
under a key that is not in the database (`…_sealed`).
"""

from ca.store.tables.base import metadata
from ca.store.tables.directory import (
    applied_items,
    directory_version,
    environments,
    invitations,
    members,
    new_services,
    oidc_clients,
    organizations,
    project_access,
    projects,
    requirements,
    services,
    sso_providers,
)
from ca.store.tables.hosts import (
    hosts,
    join_tokens,
    open_connections,
)
from ca.store.tables.people import (
    attempts,
    identities,
    known_browsers,
    mailed_links,
    passwords,
    recovery_codes,
    service_users,
    totp_credentials,
    totp_enrolments,
    users,
    webauthn_challenges,
    webauthn_handles,
    webauthn_keys,
)
from ca.store.tables.records import (
    audit_records,
    certificates,
    decisions,
    serial_epochs,
)
from ca.store.tables.revocation import (
    revocation_list,
    revocations,
    revoked_keys,
)
from ca.store.tables.sessions import (
    api_tokens,
    authorization_codes,
    browser_sessions,
    device_codes,
    grant_sessions,
    refresh_tokens,
    revoked_access_tokens,
    sso_states,
)

__all__ = [
    "api_tokens",
    "applied_items",
    "attempts",
    "audit_records",
    "authorization_codes",
    "browser_sessions",
    "certificates",
    "decisions",
    "device_codes",
    "directory_version",
    "environments",
    "grant_sessions",
    "hosts",
    "identities",
    "invitations",
    "join_tokens",
    "known_browsers",
    "mailed_links",
    "members",
    "metadata",
    "new_services",
    "oidc_clients",
    "open_connections",
    "organizations",
    "passwords",
    "project_access",
    "projects",
    "recovery_codes",
    "refresh_tokens",
    "requirements",
    "revocation_list",
    "revocations",
    "revoked_access_tokens",
    "revoked_keys",
    "serial_epochs",
    "service_users",
    "services",
    "sso_providers",
    "sso_states",
    "totp_credentials",
    "totp_enrolments",
    "users",
    "webauthn_challenges",
    "webauthn_handles",
    "webauthn_keys",
]
