"""From a decoded TOML file to the directory that it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.directory import model, requirements
from ca.directory.apply import grammar
from ca.directory.apply.grammar import Form, one_of
from ca.store.directory import Requirement
from ca.store.items import Attributes, Directory, Item
from sshd_hook import names

if TYPE_CHECKING:
    from ca.directory.apply.lines import Path
    from ca.directory.apply.section import Section

_ANYTHING = Form(lambda _text: True, "a text")


class Reader:
    """What was read so far: the items, where each of them stands, and what is not to be there."""

    def __init__(self) -> None:
        self.directory: Directory = {}
        self.paths: dict[Item, Path] = {}
        self.absent: set[Item] = set()
        self._emails: set[str] = set()
        self._providers: dict[str, set[str]] = {}  # slugs by organization

    def read(self, top: Section) -> None:
        """Read the whole file: what is referred to before what refers to it."""
        for name, section in top.sections("users"):
            self._user(name, section)
        for name, section in top.sections("hosts"):
            reports: Attributes = {"report_only": section.boolean("report_only", default=False)}
            self._add(section, "host", (name,), grammar.HOST, reports)
            section.finish()
        for name, section in top.sections("organizations"):
            self._organization(name, section)
        for name, section in top.sections("projects"):
            self._project(name, section)
        for name, section in top.sections("services"):
            self._service(name, section)
        top.finish()

    def _user(self, name: str, section: Section) -> None:
        email = section.text("email", grammar.EMAIL).lower()
        if email and email in self._emails:
            section.note(f"{email!a} is another user's address", "email")
        self._emails.add(email)
        shown = section.text("name", grammar.DISPLAY_NAME)
        self._add(section, "user", (name,), grammar.USERNAME, {"name": shown, "email": email})
        section.finish()

    def _organization(self, name: str, section: Section) -> None:
        shortest, longest = model.MIN_CERTIFICATE_LIFETIME, model.MAX_CERTIFICATE_LIFETIME
        attributes: Attributes = {
            "label": section.text("label", grammar.TITLE, default=name),
            "max_offline": section.integer(
                "max_offline", model.MIN_OFFLINE, model.MAX_OFFLINE, default=model.MAX_OFFLINE
            ),
            "certificate_lifetime": section.integer("certificate_lifetime", shortest, longest),
        }
        self._add(section, "organization", (name,), grammar.LABEL, attributes)
        for slug, provider in section.sections("sso"):
            if Item("provider", (slug,)) in self.directory:
                provider.note("is also another organization's provider")
            belongs: Attributes = {"organization_id": name}
            self._add(provider, "provider", (slug,), grammar.SLUG, belongs)
            if list(provider):  # else the API says how it is asked
                self._client(slug, provider)
            provider.finish()
            self._providers.setdefault(name, set()).add(slug)
        for username, service_user in section.sections("service_users"):
            self._service_user(name, username, service_user)
        self._members(name, section.section("members"), section)
        self._requirement("organization", name, section, name)
        section.finish()

    def _client(self, slug: str, provider: Section) -> None:
        scopes = provider.texts("scopes", grammar.WORD) if "scopes" in provider else ["openid"]
        mfa_values = provider.texts("mfa_values", grammar.WORD)
        if "openid" not in scopes:
            provider.note('"openid" must be among them', "scopes")
        for key, words in (("scopes", scopes), ("mfa_values", mfa_values)):
            if len(words) > grammar.MAX_WORDS:
                provider.note(f"has more than {grammar.MAX_WORDS} words", key)
        attributes: Attributes = {
            "label": provider.text("label", grammar.TITLE, default=slug),
            "issuer": provider.text("issuer", grammar.ISSUER),
            "client_id": provider.text("client_id", grammar.CLIENT_ID),
            "scopes": list(scopes),
            "mfa_values": list(mfa_values),
        }
        self._put(Item("client", (slug,)), attributes, provider)

    def _service_user(self, organization: str, username: str, section: Section) -> None:
        for kind in ("user", "service_user"):
            if Item(kind, (username,)) in self.directory:
                section.note("is also the name of another user")
        attributes: Attributes = {
            "organization_id": organization,
            "name": section.text("name", grammar.DISPLAY_NAME, default=username),
            "exempt": section.boolean("exempt", default=False),
        }
        self._add(section, "service_user", (username,), grammar.USERNAME, attributes)
        section.finish()

    def _members(self, organization: str, members: Section, section: Section) -> None:
        roles = set()
        for username in members:
            role = members.text(username, one_of(model.MEMBER_ROLES))
            self._check_known("user", username, members, username)
            self._put(Item("member", (organization, username)), {"role": role}, members, username)
            roles.add(role)
        if roles.isdisjoint({"owner", "admin"}):
            section.note("needs a member whose role is owner or admin")

    def _project(self, name: str, section: Section) -> None:
        organization = section.text("organization", _ANYTHING)
        if organization:
            self._check_known("organization", organization, section, "organization")
        title = section.text("title", grammar.TITLE, default=name)
        attributes: Attributes = {"organization_id": organization, "title": title}
        self._add(section, "project", (name,), grammar.PROJECT, attributes)
        for label, environment in section.sections("environments"):
            kind = environment.text("type", one_of(model.ENVIRONMENT_TYPES))
            active = environment.boolean("active", default=True)
            state: Attributes = {"type": kind, "active": active}
            self._add(environment, "environment", (name, label), grammar.LABEL, state)
            environment.finish()
        for username, access in section.sections("access"):
            self._access(name, organization, username, access)
        self._requirement("project", name, section, organization)
        section.finish()

    def _access(self, project: str, organization: str, username: str, access: Section) -> None:
        service_user = self.directory.get(Item("service_user", (username,)))
        if service_user is None:
            self._check_known("user", username, access)
        elif service_user["organization_id"] != organization:
            access.note(f"{username!a} is another organization's service user")
        for scope in (*model.ENVIRONMENT_TYPES, model.PROJECT_SCOPE):
            if scope in access:
                whole = scope == model.PROJECT_SCOPE
                roles = model.PROJECT_ROLES if whole else model.ENVIRONMENT_ROLES
                role = access.text(scope, one_of(roles))
                self._put(Item("access", (project, username, scope)), {"role": role}, access, scope)
        access.finish()

    def _service(self, name: str, section: Section) -> None:
        host = section.text("host", _ANYTHING)
        if host:
            self._check_known("host", host, section, "host")
        forwards = section.texts("forwards", grammar.FORWARD)
        organization = ""
        parsed = names.parse_service(name)
        if parsed is None or parsed.record != name:
            section.note(f"{name!a} is not <project>-<environment>--<app>[--<worker>]")
        elif Item("environment", (parsed.project, parsed.environment)) not in self.directory:
            section.note(f"project {parsed.project} has no environment {parsed.environment!a}")
        else:
            project = self.directory[Item("project", (parsed.project,))]
            organization = str(project["organization_id"])
        self._put(Item("service", (name,)), {"host": host, "forwards": list(forwards)}, section)
        self._requirement("service", name, section, organization)
        section.finish()

    def _requirement(self, kind: str, name: str, section: Section, organization: str) -> None:
        if "requirement" not in section:
            return
        section = section.section("requirement")
        networks = section.texts("networks", _ANYTHING) if "networks" in section else None
        requirement = Requirement(
            amr=tuple(section.texts("amr", _ANYTHING)),
            max_age=section.integer("max_age", requirements.MIN_AGE, requirements.MAX_AGE),
            networks=None if networks is None else tuple(networks),
            device=section.boolean("device", default=False),
            report_only=section.boolean("report_only", default=False),
        )
        section.finish()
        providers = frozenset(self._providers.get(organization, ()))
        for field, message in requirements.problems(requirement, providers):
            section.note(message, field)
        item = Item("requirement", (kind, name))
        if requirement.asks_nothing:
            self.absent.add(item)
        else:
            self._put(item, requirement.attributes(), section)

    def _check_known(self, kind: str, name: str, section: Section, *steps: str) -> None:
        if Item(kind, (name,)) not in self.directory:
            section.note(f"there is no {kind} {name!a} in this file", *steps)

    def _add(
        self, section: Section, kind: str, key: tuple[str, ...], form: Form, attributes: Attributes
    ) -> None:
        if not form.fits(key[-1]):
            section.note(f"{key[-1]!a} is not {form.words}")
        self._put(Item(kind, key), attributes, section)

    def _put(self, item: Item, attributes: Attributes, section: Section, *steps: str) -> None:
        self.directory[item] = attributes
        self.paths[item] = (*section.path, *steps)
