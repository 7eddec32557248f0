"""A model of the existing command-line client: what it sends, byte by byte, and what it needs.

From contract/existing-client.md, which was written down while that client ran. Where that says
"required", the model fails without it; what the client does not read, it does not read either.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from sshd_hook.wire import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

SLUG = "amrgate"
BACK = "http://127.0.0.1:5000"  # no path, and no slash
OWN_AGENT = "Mock-Test-CLI/5.11.0 (Linux; 6.18.5; PHP 8.2.36)"
LIBRARY_AGENT = "GuzzleHttp/7"
FORM = "application/x-www-form-urlencoded"


class StepUp(Exception):
    """A login that shows more is asked for."""

    def __init__(self, amr: list[str], max_age: int | None) -> None:
        super().__init__(amr, max_age)
        self.amr = amr
        self.max_age = max_age


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Metadata:
    """What the client reads of a certificate; each value of an extension is a string in a string."""

    key_type: str
    key_id: str
    valid_after: int
    valid_before: int
    extensions: dict[str, str]

    @classmethod
    def of(cls, text: str) -> Metadata:
        key_type, blob = text.split()[:2]
        assert text.startswith(key_type)
        assert key_type in ("ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com")
        reader = Reader(base64.b64decode(blob))
        assert reader.string().decode() == key_type
        reader.string()  # nonce
        reader.string()  # public key
        reader.u64()
        reader.u32()
        key_id = reader.string().decode()
        reader.string()  # principals
        after, before = reader.u64(), reader.u64()
        reader.string()  # critical options
        options, extensions = Reader(reader.string()), {}
        while options:
            name, value = options.string().decode(), options.string()
            extensions[name] = Reader(value).string().decode() if value else ""
        return cls(key_type, key_id, after, before, extensions)

    @property
    def is_valid(self) -> bool:
        return time.time() < self.valid_before - 120


class ExistingClient:
    """One installation of it, with its session."""

    def __init__(self, url: str, browse: Callable[[str], str]) -> None:
        """`browse` is a browser: it takes a URL, and returns where it was sent in the end."""
        self.url = url
        self.browse = browse
        self.access_token = ""
        self.refresh_token = ""
        self.expires_in = 0

    # --- commands ---

    def login(self, *methods: str, max_age: int | None = None, force: bool = False) -> None:
        """auth:browser-login, with --method, --max-age and -f."""
        verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "redirect_uri": BACK,
            "state": state,
            "client_id": SLUG,
            "prompt": "consent select_account" if force else "consent",
            "response_type": "code",
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "scope": "offline_access",
        }
        if methods:
            query["amr"] = " ".join(methods)
        if max_age is not None:
            query["max_age"] = str(max_age)
        address = f"{self.url}/oauth2/authorize?{urlencode(query, quote_via=quote)}"
        back = urlsplit(self.browse(address))
        assert f"{back.scheme}://{back.netloc}" == BACK
        assert back.path in ("", "/")
        given = parse_qs(back.query)
        assert given["state"] == [state]
        old = (self.refresh_token, self.access_token)
        basic = base64.b64encode(f"{SLUG}:".encode()).decode()
        self._take_tokens(
            self._send(
                "POST",
                "/oauth2/token",
                {"Authorization": f"Basic {basic}", "User-Agent": OWN_AGENT},
                form={
                    "grant_type": "authorization_code",
                    "code": given["code"][0],
                    "redirect_uri": BACK,
                    "code_verifier": verifier,
                },
            )
        )
        assert self.expires_in > 0  # without it, the login is broken
        assert self.refresh_token
        if all(old):
            self.revoke(*old)

    def login_by_api_token(self, token: str) -> Answer:
        """auth:api-token-login."""
        answer = self._send(
            "POST",
            "/oauth2/token",
            {"User-Agent": LIBRARY_AGENT},
            form={
                "client_id": SLUG,
                "client_secret": "",
                "grant_type": "api_token",
                "api_token": token,
            },
        )
        if "error" not in answer.json():
            self._take_tokens(answer)
        return answer

    def refresh(self) -> Answer:
        """Before a request with a token that is too old, or after a 401."""
        answer = self._send(
            "POST",
            "/oauth2/token",
            {"User-Agent": LIBRARY_AGENT},
            form={
                "client_id": SLUG,
                "client_secret": "",
                "grant_type": "refresh_token",
                "refresh_token": self.refresh_token,
            },
        )
        if "error" not in answer.json():
            self._take_tokens(answer)
        return answer

    def revoke(self, refresh_token: str, access_token: str) -> None:
        """auth:logout, and what follows a second login: the access token only after a success."""
        hints = {"refresh_token": refresh_token, "access_token": access_token}
        for hint, token in hints.items():
            answer = self._send(
                "POST",
                "/oauth2/revoke",
                {"User-Agent": LIBRARY_AGENT},
                form={
                    "client_id": SLUG,
                    "client_secret": "",
                    "token": token,
                    "token_type_hint": hint,
                },
            )
            assert answer.status in (200, 204)

    def load_certificate(self, public_key: str) -> Metadata:
        """ssh-cert:load."""
        body = json.dumps({"key": f"{public_key} {SLUG}-temporary-cert\n"}).replace("/", "\\/")
        answer = self._api("POST", "/ssh", body.encode())
        return Metadata.of(answer.json()["certificate"])

    def get(self, path: str) -> Any:
        """Any request of the API."""
        answer = self._api("GET", path)
        assert answer.status == 200, answer
        return answer.json()

    def user_id(self) -> str:
        """The `sub` of a token that reads as plain base64, else what /users/me says."""
        claims = self.claims()
        found = str((claims or {"sub": self.get("/users/me")["id"]})["sub"])
        assert re.fullmatch("[a-zA-Z0-9-]+", found)
        return found

    def claims(self) -> dict[str, Any] | None:
        parts = self.access_token.split(".")
        if len(parts) != 3 or set("-_") & set(parts[1]):
            return None
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), validate=True)
        found: dict[str, Any] = json.loads(payload)
        return found

    def project_list(self) -> dict[str, str]:
        """project:list: titles by id."""
        query = quote("filter[resource_type]", safe="") + "=project"
        access = self.get(f"/users/{self.user_id()}/extended-access?{query}")
        assert {one["resource_type"] for one in access["items"]} <= {"project"}
        links = access["_links"]
        if "ref:projects:0" not in links:
            return {}
        projects = self.get(links["ref:projects:0"]["href"])
        for one in projects.values():
            assert one["id"]
            for name in ("title", "region", "status", "organization_id", "subscription_id"):
                assert name in one
            assert "created_at" in one
        organizations = self.get(links["ref:organizations:0"]["href"])
        for one in organizations.values():
            assert {"id", "name", "label"} <= one.keys()
        items = access["items"]
        assert {item["organization_id"] for item in items} <= organizations.keys()
        return {item["resource_id"]: projects[item["resource_id"]]["title"] for item in items}

    def environment_list(self, project_id: str) -> list[str]:
        """environment:list."""
        project = self.get(f"/projects/{project_id}")
        base = project["_links"]["self"]["href"]
        link = project["_links"].get("environments", {"href": f"{base}/environments"})
        found = self.get(link["href"])
        assert isinstance(found, list)
        for one in found:
            assert "title" in one
            assert isinstance(one["type"], str)
            assert isinstance(one["status"], str)
            assert one["parent"] is None or one["parent"] in [other["id"] for other in found]
        return [one["id"] for one in found]

    def ssh_address(self, project_id: str, environment: str, app: str) -> str | None:
        """environment:ssh --pipe: `user@host`; the port of the link would be dropped."""
        project = self.get(f"/projects/{project_id}")
        assert project["_links"]["self"]["href"]
        environments = self.get(f"/projects/{project_id}/environments")
        found = next(one for one in environments if one["id"] == environment)
        here = found["_links"]["self"]["href"]
        current = self.get(f"{here}/deployments/current")
        assert current["_links"]["self"]["href"]
        assert isinstance(current["workers"], dict)
        assert app in [one["name"] for one in current["webapps"].values()]
        links = found["_links"]
        link = links.get(f"pf:ssh:{app}") or links.get(f"pf:ssh:{app}:0")
        if link is None:
            return None
        address = urlsplit(link["href"])
        assert (address.scheme, address.port, address.path) == ("ssh", None, "")
        return f"{address.username}@{address.hostname}"

    def organization_list(self) -> list[str]:
        """organization:list."""
        found = self.get(f"/users/{self.user_id()}/organizations")
        link = found["_links"].get("ref:users:0")
        for one in self.get(link["href"]).values() if link else ():
            assert {"email", "username"} <= one.keys()
        return [one["name"] for one in found["items"] if {"label", "type", "id"} <= one.keys()]

    def user_list(self, project_id: str) -> dict[str, list[str]]:
        """user:list: permissions by e-mail address."""
        project = self.get(f"/projects/{project_id}")
        assert isinstance(project["title"], str)
        assert isinstance(project["organization"], str)
        size = quote("page[size]", safe="") + "=200"
        access = self.get(f"/projects/{project_id}/user-access?{size}")
        users = self.get(access["_links"]["ref:users:0"]["href"])
        for one in users.values():
            assert {"email", "first_name", "last_name"} <= one.keys()
        organization = self.get(f"/organizations/{project['organization']}")
        assert isinstance(organization["capabilities"], list)
        assert organization["_links"]["self"]["href"]
        return {users[one["user_id"]]["email"]: one["permissions"] for one in access["items"]}

    # --- the wire ---

    def _api(self, method: str, path: str, body: bytes = b"") -> Answer:
        headers = {
            "Authorization": f"Bearer {self.access_token}",
            "User-Agent": OWN_AGENT,
            "Accept-Encoding": "gzip",
        }
        if body:
            headers["Content-Type"] = "application/json"
        answer = self._send(method, path, headers, body)
        challenge = answer.headers.get("www-authenticate", "")
        step_up = "insufficient_user_authentication" in challenge and "bearer" in challenge.lower()
        if answer.status == 401 and step_up:
            said = answer.json()
            assert all(isinstance(one, str) for one in said["amr"])
            assert isinstance(said.get("max_age"), int | None)
            raise StepUp(said["amr"], said.get("max_age"))
        return answer

    def _take_tokens(self, answer: Answer) -> None:
        said = answer.json()
        assert answer.status == 200, said
        self.access_token = said["access_token"]
        self.expires_in = int(said.get("expires_in", 0))
        self.refresh_token = said.get("refresh_token", self.refresh_token)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes = b"",
        form: dict[str, str] | None = None,
    ) -> Answer:
        """One request with exactly these headers, its host and its length: no Accept."""
        if form is not None:
            body = urlencode(form, quote_via=quote, safe="").encode()
            headers = {**headers, "Content-Type": FORM}
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, found, response.read())
        connection.close()
        return answer


def read_refusal(shown: str) -> list[str] | None:
    """What the client makes of what a second connection printed: which methods to log in by."""
    found = re.search(r"^Parameters: ({.+)$", shown, re.MULTILINE)
    if "Error: Access denied" not in shown or found is None:
        return None
    amr = json.loads(found[1])["amr"]
    assert isinstance(amr, list)
    return amr
