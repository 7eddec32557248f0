"""The company's single sign-on provider: OpenID Connect, code flow and PKCE, one public client.

It is the demo's, and no more: whoever types a name is that person. In the private machine,
`python -m demo.provider PORT REDIRECT_URI` serves it at http://127.0.0.1:PORT.
"""

import base64
import hashlib
import html
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

CLIENT_ID = "amrgate"
ALGORITHM = "ES256"
LIFETIME = 300  # seconds of an ID token
PAGE = """<!doctype html>
<title>Acme's single sign-on</title>
<form method="post" action="/authorize">
<input type="hidden" name="asked" value="{asked}">
<label>Name <input name="name" required autofocus></label>
<button>Log in</button>
</form>
"""


class Login(NamedTuple):
    """Who logged in, and what the client asked when it sent them."""

    name: str
    at: int  # seconds since the epoch
    asked: dict[str, str]


class Provider(HTTPServer):
    """Its key, and the logins whose code was not redeemed yet."""

    def __init__(self, port: int, redirect_uri: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = ECKey.generate_key("P-256", {"use": "sig"})
        self._redirect_uri = redirect_uri
        self._logins: dict[str, Login] = {}

    def documents(self) -> dict[str, dict[str, Any]]:
        """What anybody may read, by path."""
        metadata = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        keys = {"keys": [self.key.as_dict(private=False)]}
        return {"/.well-known/openid-configuration": metadata, "/keys": keys}

    def log_in(self, name: str, asked: dict[str, str]) -> str | None:
        """Where the browser goes with its code; None if it is not the client that asks."""
        code = secrets.token_urlsafe(32)
        who = (CLIENT_ID, self._redirect_uri, "S256")
        names = ("client_id", "redirect_uri", "code_challenge_method")
        if not name or tuple(asked.get(one) for one in names) != who:
            return None
        self._logins[code] = Login(name, int(time.time()), asked)
        answer = {"code": code, "state": asked.get("state", ""), "iss": self.issuer}
        return f"{self._redirect_uri}?{urlencode(answer)}"

    def redeem(self, form: dict[str, str]) -> dict[str, Any] | None:
        """The tokens for a code, once, and for whoever has the verifier; else None."""
        login = self._logins.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if login is None or challenge != login.asked.get("code_challenge"):
            return None
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": login.name,
            "aud": CLIENT_ID,
            "nonce": login.asked.get("nonce", ""),
            "auth_time": login.at,
            "iat": now,
            "exp": now + LIFETIME,
        }
        token = jwt.encode({"alg": ALGORITHM}, claims, self.key)
        access_token = secrets.token_urlsafe(32)
        return {"access_token": access_token, "token_type": "Bearer", "id_token": token}


class Handler(BaseHTTPRequestHandler):
    """The provider's pages and endpoints."""

    server: Provider  # pyright: ignore[reportIncompatibleVariableOverride]  # what serves it

    def do_GET(self) -> None:
        """A document, or the page on which somebody logs in."""
        url = urlsplit(self.path)
        if url.path == "/authorize":
            page = PAGE.format(asked=html.escape(url.query))
            self._send(200, page, {"content-type": "text/html; charset=utf-8"})
        else:
            self._json(404, self.server.documents().get(url.path))

    def do_POST(self) -> None:
        """Somebody logs in, or the client redeems a code."""
        length = int(self.headers["content-length"])
        form = dict(parse_qsl(self.rfile.read(length).decode()))
        if self.path != "/authorize":
            self._json(400, self.server.redeem(form))
        elif back := self.server.log_in(form.get("name", ""), dict(parse_qsl(form["asked"]))):
            self._send(303, "", {"location": back})
        else:
            self._json(400, None)

    def _json(self, failed: int, said: dict[str, Any] | None) -> None:
        value = {"error": "invalid_grant"} if said is None else said
        status = failed if said is None else 200
        self._send(status, json.dumps(value), {"content-type": "application/json"})

    def _send(self, status: int, body: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())


if __name__ == "__main__":
    Provider(int(sys.argv[1]), sys.argv[2]).serve_forever()
