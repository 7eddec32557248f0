"""What clients may know of this server without asking a person (RFC 8414)."""

from ca.oauth.authorize import PROMPTS
from ca.oauth.device import GRANT_TYPE as DEVICE_CODE
from ca.oauth.wishes import METHODS, SCOPES
from ca.settings import Settings

# Public clients have no secret; some send an empty one.
_CLIENT_AUTHENTICATION = ["none", "client_secret_basic", "client_secret_post"]
GRANT_TYPES = ("authorization_code", "refresh_token", DEVICE_CODE, "api_token")


def metadata(settings: Settings) -> dict[str, object]:
    """The document at /.well-known/oauth-authorization-server.

    `amr_values_supported` is our own: what the parameter `amr` may ask for, besides "sso:" and
    the slug of a provider, which are not told to everybody.
    """
    issuer = settings.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        "device_authorization_endpoint": f"{issuer}/oauth2/device_authorization",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
        "introspection_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
        "scopes_supported": list(SCOPES),
        "prompt_values_supported": list(PROMPTS),
        "amr_values_supported": sorted(METHODS),
        "authorization_response_iss_parameter_supported": True,
    }
