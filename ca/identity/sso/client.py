"""Asking one provider: where to send a browser, and who came back (authorization code, PKCE)."""

import base64
from dataclasses import dataclass
from urllib.parse import quote_plus, urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ca.identity.sso import id_token
from ca.identity.sso.fetch import NotReached, NotRecent, get_json, post_form
from ca.identity.sso.id_token import Expected, Login, TooOld
from ca.identity.sso.networks import Networks, Refused

DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Registration:
    """How we are known at a provider; a public client has no secret."""

    issuer: str
    client_id: str
    secret: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """What was asked of a browser's owner, kept in that browser alone."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    since: int
    """The earliest login at the provider that counts, in seconds since the epoch."""
    undated: bool
    """Whether a login will do of which the provider does not say when it was."""


@dataclass(frozen=True)
class Metadata:
    """What a provider says of itself, as far as we use it."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    takes_basic: bool


def discover(networks: Networks, issuer: str) -> Metadata:
    """What the provider says at its well-known address (OpenID Connect Discovery 1.0, section 4).

    Raises:
        NotReached: it says nothing that can be used.
    """
    said = get_json(networks, f"{issuer.rstrip('/')}{DISCOVERY}")
    try:
        return _read_metadata(networks, issuer, said)
    except Refused as error:
        raise NotReached from error


def url_of(client: Registration, metadata: Metadata, question: Question, now: int) -> str:
    """Where the browser is sent."""
    url: str = prepare_grant_uri(
        metadata.authorization_endpoint,
        client_id=client.client_id,
        response_type="code",
        redirect_uri=question.redirect_uri,
        scope=" ".join(client.scopes),
        state=question.state,
        nonce=question.nonce,
        code_challenge=create_s256_code_challenge(question.verifier),
        code_challenge_method="S256",
        max_age=str(max(0, now - question.since)),
    )
    return url


def redeem(
    networks: Networks,
    client: Registration,
    question: Question,
    answer: dict[str, str],
    *,
    now: int,
) -> Login:
    """Who came back, with the parameters `answer`, whose `state` is the question's.

    Raises:
        NotReached: the provider did not say so in a way that counts.
        NotRecent: it did, and they logged in there too long ago.
    """
    metadata = discover(networks, client.issuer)
    try:
        _check_answer(client, metadata, answer)
        tokens = _tokens(networks, client, metadata, question, answer["code"])
        keys = get_json(networks, metadata.jwks_uri)
        expected = Expected(
            issuer=client.issuer,
            client_id=client.client_id,
            nonce=question.nonce,
            access_token=tokens["access_token"],
            since=question.since,
            undated=question.undated,
        )
        return id_token.read(tokens["id_token"], keys, expected, now)
    except TooOld as error:
        raise NotRecent from error
    # Refused among them. Whatever a provider says that cannot be read is its fault, not ours.
    except (ValueError, RecursionError) as error:
        raise NotReached from error


def _read_metadata(networks: Networks, issuer: str, said: dict[str, object]) -> Metadata:
    if said.get("issuer") != issuer:
        raise Refused(f"{issuer} calls itself {said.get('issuer')!a}")
    methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        authorization_endpoint=_endpoint(networks, issuer, said.get("authorization_endpoint")),
        token_endpoint=_endpoint(networks, issuer, said.get("token_endpoint")),
        jwks_uri=_endpoint(networks, issuer, said.get("jwks_uri")),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
    )


def _check_answer(client: Registration, metadata: Metadata, answer: dict[str, str]) -> None:
    """RFC 9207: whose answer it is, so that no code of one provider is taken to another."""
    if ("iss" in answer or metadata.names_itself) and answer.get("iss") != client.issuer:
        raise Refused("another provider's answer")
    if not answer.get("code"):
        raise Refused("no code")


def _tokens(
    networks: Networks, client: Registration, metadata: Metadata, question: Question, code: str
) -> dict[str, str]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": question.redirect_uri,
        "code_verifier": question.verifier,
    }
    authorization = ""
    if client.secret and metadata.takes_basic:
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = client.client_id
        if client.secret:
            form["client_secret"] = client.secret
    said = post_form(networks, metadata.token_endpoint, form, authorization)
    access_token, token = said.get("access_token"), said.get("id_token")
    if not isinstance(access_token, str) or not isinstance(token, str):
        raise Refused("no ID token")
    return {"access_token": access_token, "id_token": token}


def _endpoint(networks: Networks, issuer: str, url: object) -> str:
    if not isinstance(url, str):
        raise Refused("an endpoint is missing")
    networks.check_url(url)
    ours, theirs = urlsplit(issuer), urlsplit(url)
    # Its keys and where our secret goes: of the issuer itself, unless the operator knows better.
    if theirs.netloc != ours.netloc and theirs.hostname not in networks.hosts:
        raise Refused(f"an endpoint on another host: {url!a}")
    return url
