"""Who may use each route: one line a route, without which the service does not start.

The routes themselves ask `ca.api.gate`, inside the transaction that does the work. Here is what
they have to ask: tests/test_matrix.py sends every one of these requests as everybody, and compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi.routing import APIRoute, iter_route_contexts

from ca.console.edge import PageRoute
from ca.errors import Misconfigured
from sshd_hook.policy import ADMIN, NO_ROLE, OWNER, VIEWER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.routing import BaseRoute


@dataclass(frozen=True)
class Rule:
    """A route is for `who`; where that is a role on `what` the path names, for `needed` or more.

    `login` is what that also needs, whatever the organization requires: MFA, FRESH_MFA, or a
    login with the PROVIDER that the path names.
    """

    who: str
    what: str = ""
    needed: int = NO_ROLE
    login: str = ""


MFA, FRESH_MFA, PROVIDER = "mfa", "mfa in the last minutes", "the provider"
ORGANIZATION, PROJECT, ENVIRONMENT = "organization", "project", "environment"

ANYBODY = Rule("anybody")
"""It tells nothing that is secret, or takes a secret of its own: a join token, a code."""
PAGE = Rule("a browser")
"""A page: what is a person's own, it shows to their session (`ca.console.security.logged_in`)."""
HOST = Rule("the host that the path names")
LOGGED_IN = Rule("whoever is logged in")
ONESELF = Rule("the user whom the path names")
ONESELF_OR_ADMIN = Rule("the user whom the path names; of a service user, an admin")
"""Of the organization whose service user it is."""

MEMBER = Rule("members", ORGANIZATION, VIEWER)
ORGANIZATION_ADMIN = Rule("owners and admins", ORGANIZATION, ADMIN)
MFA_ADMIN = Rule("owners and admins", ORGANIZATION, ADMIN, MFA)
PROVIDERS_ADMIN = Rule("owners and admins", ORGANIZATION, ADMIN, PROVIDER)
FRESH_ADMIN = Rule("owners and admins", ORGANIZATION, ADMIN, FRESH_MFA)
FRESH_OWNER = Rule("owners", ORGANIZATION, OWNER, FRESH_MFA)
MEMBER_OR_SELF = Rule("owners and admins, and the member whom the path names", ORGANIZATION, ADMIN)
PROJECT_VIEWER = Rule("whoever has a role in the project", PROJECT, VIEWER)
PROJECT_ADMIN = Rule("admins of the project", PROJECT, ADMIN)
ENVIRONMENT_VIEWER = Rule("whoever has a role on the environment", ENVIRONMENT, VIEWER)
ENVIRONMENT_ADMIN = Rule("admins of the project who see the environment", ENVIRONMENT, ADMIN)
OWNING_ADMIN = Rule("owners and admins of the project's organization", PROJECT, OWNER)

_ORGANIZATION = "/organizations/{organization_id}"
_PROJECT = "/projects/{project_id}"
_ENVIRONMENT = "/projects/{project_id}/environments/{environment_id}"

RULES = {
    "GET /health/live": ANYBODY,
    "GET /health/ready": ANYBODY,
    "GET /ssh/authority": ANYBODY,
    "GET /ssh/krl": ANYBODY,
    "POST /ssh": LOGGED_IN,
    # The authorization server: its grants are checked by what is sent.
    "GET /.well-known/jwks.json": ANYBODY,
    "GET /.well-known/oauth-authorization-server": ANYBODY,
    "POST /oauth2/device_authorization": ANYBODY,
    "POST /oauth2/introspect": ANYBODY,
    "POST /oauth2/revoke": ANYBODY,
    "POST /oauth2/token": ANYBODY,
    # Hosts.
    "POST /hosts/enroll": ANYBODY,
    "GET /hosts/https-ca": ANYBODY,
    "GET /hosts/{host_id}/policy": HOST,
    "POST /hosts/{host_id}/acknowledgement": HOST,
    "PUT /hosts/{host_id}/connections": HOST,
    "POST /hosts/{host_id}/certificates": HOST,
    "POST /hosts/{host_id}/decisions": HOST,
    # People.
    "GET /me": LOGGED_IN,
    "GET /users/me": LOGGED_IN,
    "GET /ref/organizations": LOGGED_IN,
    "GET /ref/projects": LOGGED_IN,
    "GET /ref/users": LOGGED_IN,
    "GET /users/{user_id}": ONESELF,
    "PATCH /users/{user_id}": ONESELF,
    "GET /users/{user_id}/api-tokens": ONESELF_OR_ADMIN,
    "POST /users/{user_id}/api-tokens": ONESELF_OR_ADMIN,
    "GET /users/{user_id}/api-tokens/{token_id}": ONESELF_OR_ADMIN,
    "DELETE /users/{user_id}/api-tokens/{token_id}": ONESELF_OR_ADMIN,
    "GET /users/{user_id}/certificates": ONESELF,
    "DELETE /users/{user_id}/certificates": ONESELF,
    "DELETE /users/{user_id}/certificates/{serial}": ONESELF,
    "POST /users/{user_id}/codes": ONESELF,
    "GET /users/{user_id}/extended-access": ONESELF,
    "GET /users/{user_id}/identities": ONESELF,
    "DELETE /users/{user_id}/identities/{identity_id}": ONESELF,
    "GET /users/{user_id}/organizations": ONESELF,
    "GET /users/{user_id}/sessions": ONESELF,
    "DELETE /users/{user_id}/sessions": ONESELF,
    "DELETE /users/{user_id}/sessions/{session_id}": ONESELF,
    "GET /users/{user_id}/totp": ONESELF,
    "POST /users/{user_id}/totp": ONESELF,
    "DELETE /users/{user_id}/totp": ONESELF,
    "GET /users/{user_id}/webauthn": ONESELF,
    "DELETE /users/{user_id}/webauthn/{key_id}": ONESELF,
    # A service tells whoever has no role there that there is none.
    "GET /services/{service}/access": LOGGED_IN,
    # Organizations.
    "GET /organizations": LOGGED_IN,
    "POST /organizations": LOGGED_IN,
    f"GET {_ORGANIZATION}": MEMBER,
    f"PATCH {_ORGANIZATION}": ORGANIZATION_ADMIN,
    f"DELETE {_ORGANIZATION}": FRESH_OWNER,
    f"GET {_ORGANIZATION}/members": MEMBER,
    f"POST {_ORGANIZATION}/members": ORGANIZATION_ADMIN,
    f"GET {_ORGANIZATION}/members/{{user_id}}": MEMBER,
    f"PATCH {_ORGANIZATION}/members/{{user_id}}": ORGANIZATION_ADMIN,
    f"DELETE {_ORGANIZATION}/members/{{user_id}}": MEMBER_OR_SELF,
    f"GET {_ORGANIZATION}/invitations": ORGANIZATION_ADMIN,
    f"POST {_ORGANIZATION}/invitations": ORGANIZATION_ADMIN,
    f"DELETE {_ORGANIZATION}/invitations/{{invitation_id}}": ORGANIZATION_ADMIN,
    f"GET {_ORGANIZATION}/mfa-enforcement": MEMBER,
    f"GET {_ORGANIZATION}/mfa-enforcement/preview": ORGANIZATION_ADMIN,
    f"POST {_ORGANIZATION}/mfa-enforcement/enable": MFA_ADMIN,
    f"POST {_ORGANIZATION}/mfa-enforcement/disable": FRESH_ADMIN,
    f"POST {_ORGANIZATION}/mfa/remind": ORGANIZATION_ADMIN,
    f"GET {_ORGANIZATION}/service-users": MEMBER,
    f"POST {_ORGANIZATION}/service-users": FRESH_ADMIN,
    f"GET {_ORGANIZATION}/service-users/{{user_id}}": MEMBER,
    f"PATCH {_ORGANIZATION}/service-users/{{user_id}}": FRESH_ADMIN,
    f"DELETE {_ORGANIZATION}/service-users/{{user_id}}": FRESH_ADMIN,
    f"GET {_ORGANIZATION}/sso": MEMBER,
    f"POST {_ORGANIZATION}/sso": FRESH_ADMIN,
    f"PATCH {_ORGANIZATION}/sso/{{slug}}": FRESH_ADMIN,
    f"DELETE {_ORGANIZATION}/sso/{{slug}}": FRESH_ADMIN,
    f"POST {_ORGANIZATION}/sso/{{slug}}/enable": PROVIDERS_ADMIN,
    # FRESH_MFA where that asks for less than before, as for all that changes a requirement.
    f"POST {_ORGANIZATION}/sso/{{slug}}/disable": MFA_ADMIN,
    # Projects.
    f"GET {_ORGANIZATION}/projects": MEMBER,
    f"POST {_ORGANIZATION}/projects": ORGANIZATION_ADMIN,
    f"GET {_PROJECT}": PROJECT_VIEWER,
    f"PATCH {_PROJECT}": PROJECT_ADMIN,
    f"DELETE {_PROJECT}": OWNING_ADMIN,
    f"GET {_PROJECT}/user-access": PROJECT_VIEWER,
    f"POST {_PROJECT}/user-access": PROJECT_ADMIN,
    f"GET {_PROJECT}/user-access/{{user_id}}": PROJECT_VIEWER,
    f"PATCH {_PROJECT}/user-access/{{user_id}}": PROJECT_ADMIN,
    f"DELETE {_PROJECT}/user-access/{{user_id}}": PROJECT_ADMIN,
    f"GET {_PROJECT}/environments": PROJECT_VIEWER,
    f"POST {_PROJECT}/environments": PROJECT_ADMIN,
    f"GET {_ENVIRONMENT}": ENVIRONMENT_VIEWER,
    f"PATCH {_ENVIRONMENT}": ENVIRONMENT_ADMIN,
    f"DELETE {_ENVIRONMENT}": ENVIRONMENT_ADMIN,
    f"GET {_ENVIRONMENT}/deployments/current": ENVIRONMENT_VIEWER,
    f"GET {_ENVIRONMENT}/services": ENVIRONMENT_ADMIN,
    f"POST {_ENVIRONMENT}/services": ENVIRONMENT_ADMIN,
    f"PATCH {_ENVIRONMENT}/services/{{app}}": ENVIRONMENT_ADMIN,
    f"DELETE {_ENVIRONMENT}/services/{{app}}": ENVIRONMENT_ADMIN,
}


def rules_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, Rule]]:
    """Each route, as "METHOD path", and its rule.

    Raises:
        Misconfigured: a route has none.
    """
    for context in iter_route_contexts(list(routes)):
        if isinstance(context.original_route, APIRoute):
            page = isinstance(context.original_route, PageRoute)
            for method in sorted(context.methods or ()):
                name = f"{method} {context.path}"
                rule = PAGE if page else RULES.get(name)
                if rule is None:
                    raise Misconfigured(f"{name}: say in ca/api/rules.py who may use it.")
                yield name, rule
