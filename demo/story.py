"""The nine steps: one organization switches MFA on, and everything follows."""

from demo.company import CA, PROVIDER, Company
from demo.provider import CLIENT_ID
from demo.stage import Stage
from machine.clients import FORMS, HOST, SERVICE, Form
from sshd_hook.policy import MORE_AUTHENTICATION, NO_ACCESS, Decision
from sshd_hook.refusal import Refusal, render

NAMES = {"alice": "Alice Archer", "carol": "Carol Cooper", "mallory": "Mallory Mason"}
NO_SERVICE = "abcdefg123456-main-bvxea6i--nothing"
CERTIFICATE = ".config/amrgate/ssh/id_ed25519-cert.pub"
ONLY_MFA = """
[organizations.acme.requirement]
amr = ["mfa"]
"""
BACKDATE = """
UPDATE grant_sessions SET proofs = (
    SELECT json_group_array(
        json_set(value, '$.at', json_extract(value, '$.at') - 360)
    ) FROM json_each(proofs)
) WHERE ended_at IS NULL
    AND user_id = (SELECT id FROM users WHERE username = 'alice')
"""


class Story:
    """The steps, in order; each needs those before it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._company = Company(stage)
        self._ids: dict[str, str] = {}

    def tell(self) -> None:
        """All of it.

        Raises:
            DemoError: a step went otherwise than it must.
        """
        for number, step in enumerate(
            (
                self.a_company,
                self.a_password_is_enough,
                self.bob_requires_mfa,
                self.nobody_finds_out_what_exists,
                self.alice_sets_up_an_app,
                self.single_sign_on_too,
                self.a_recent_login,
                self.the_ca_is_down,
            ),
            1,
        ):
            self._stage.title(f"{number}. {step.__doc__}")
            step()

    def a_company(self) -> None:
        """A company gets a CA, and a stock sshd the hook"""
        self._company.found()

    def a_password_is_enough(self) -> None:
        """Alice logs in with her password, and is in"""
        stage = self._stage
        with stage.work("Carol and Mallory do the same before her."):
            for person in ("carol", "mallory"):
                self._arrive(person)
        self._company.log_in("alice", "--ca", CA)
        stage.run("alice", "amrgate", "ssh-config", "install")
        info = stage.run("alice", "amrgate", "ssh-cert", "info").out
        stage.expect("the certificate says: amr: pwd", _line(info, "amr:"), "amr: pwd")
        self._same_bytes_as_ssh_keygen()
        self._gets_in("alice")

    def bob_requires_mfa(self) -> None:
        """Bob, an admin with an authenticator app, requires MFA"""
        stage = self._stage
        self._company.set_up_app("bob")
        self._company.log_in("bob", "--ca", CA)
        stage.run("bob", "amrgate", "org", "mfa", "acme", "on")
        stage.run("alice", "sleep", "1")
        wanted = self._more("alice", ("mfa",), ("mfa",))
        for form in FORMS:
            self._is_refused("alice", form, wanted)
        stage.say(f"{len(FORMS)} of {len(FORMS)} ways were closed, each with the reason.")

    def nobody_finds_out_what_exists(self) -> None:
        """No access and no such service read the same"""
        for person, service in (("mallory", SERVICE), ("alice", NO_SERVICE)):
            text = render(self._refusal(person, Decision(NO_ACCESS), service))
            self._is_refused(person, FORMS[0], text, service)

    def alice_sets_up_an_app(self) -> None:
        """Alice sets up an authenticator app, and is in"""
        self._company.set_up_app("alice")
        self._company.log_in("alice", "-f")
        self._gets_in("alice")

    def single_sign_on_too(self) -> None:
        """Bob requires single sign-on as well, until the operator's file lifts that"""
        company, both, providers = self._company, ("mfa", "sso:acme"), "/organizations/acme/sso"
        company.start_provider()
        known = {"slug": "acme", "issuer": PROVIDER, "client_id": CLIENT_ID}
        company.ask("bob", providers, known)
        self._links("bob", both)
        company.ask("bob", f"{providers}/acme/enable", {})
        self._stage.run("alice", "sleep", "1")
        self._is_refused("carol", FORMS[0], self._more("carol", both, both))
        self._is_refused("alice", FORMS[0], self._more("alice", both, ("sso:acme",)))
        self._links("alice", both)
        self._gets_in("alice")
        self._apply("mfa.toml", ONLY_MFA)

    def a_recent_login(self) -> None:
        """Bob asks for a login within five minutes"""
        stage = self._stage
        stage.run("bob", "amrgate", "org", "mfa", "acme", "on", "--max-age", "5m")
        stage.say(
            "Nobody wants to wait: Alice's login is dated back by six minutes in the CA's database,"
            " and she takes a new certificate."
        )
        program = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute(sys.argv[2]); d.commit()"
        words = ("/usr/bin/python3", "-c", program, "/var/lib/amrgate-ca/amrgate.db", BACKDATE)
        stage.run("root", *words, shown=("sqlite3", "amrgate.db", f'"{BACKDATE.strip()}"'))
        stage.run("alice", "amrgate", "ssh-cert", "load", "--force")
        wanted = self._more("alice", ("mfa",), ("max_age",), max_age=300)
        self._is_refused("alice", FORMS[0], wanted)
        self._company.log_in("alice", "-f")
        self._gets_in("alice")

    def the_ca_is_down(self) -> None:
        """The CA is down, and the rules still hold"""
        self._company.stop_ca()
        self._gets_in("alice")
        wanted = self._more("carol", ("mfa",), ("mfa",), max_age=300)
        self._is_refused("carol", FORMS[0], wanted)

    def _arrive(self, person: str) -> None:
        self._company.log_in(person, "--ca", CA)
        self._stage.run(person, "amrgate", "ssh-config", "install")

    def _links(self, person: str, amr: tuple[str, ...]) -> None:
        self._company.link(person)
        self._company.log_in(person, "--method", ",".join(amr))

    def _apply(self, name: str, requirement: str) -> None:
        example = self._stage.machine.path("/root/acme.toml").read_text()
        self._company.write(f"/root/{name}", example + requirement)
        self._stage.run("root", "amrgate-ca", "apply", "--dry-run", name)
        self._stage.run("root", "amrgate-ca", "apply", name)
        self._stage.run("root", "sleep", "1")

    def _gets_in(self, person: str) -> None:
        there = f"{SERVICE}@{HOST}"
        result = self._stage.run(person, "ssh", there, "id", "-un")
        self._stage.expect(f"{person} is in", result.out, f"{SERVICE}\n")

    def _is_refused(self, person: str, form: Form, wanted: str, service: str = SERVICE) -> None:
        words = form.command(f"{service}@{HOST}")
        result = self._stage.run(person, *words, stdin=form.stdin, ends=form.refused)
        self._stage.expect("refused, to the letter", result.err[: len(wanted)], wanted)

    def _more(
        self,
        person: str,
        amr: tuple[str, ...],
        missing: tuple[str, ...],
        max_age: int | None = None,
    ) -> str:
        decision = Decision(MORE_AUTHENTICATION, amr, max_age, missing)
        return render(self._refusal(person, decision, SERVICE))

    def _refusal(self, person: str, decision: Decision, service: str) -> Refusal:
        return Refusal(decision, service, NAMES[person], self._id(person))

    def _id(self, person: str) -> str:
        if person not in self._ids:
            info = self._stage.machine.check("amrgate", "ssh-cert", "info", user=person)
            self._ids[person] = _line(info, "key id:").split()[-1]
        return self._ids[person]

    def _same_bytes_as_ssh_keygen(self) -> None:
        stage = self._stage
        listed = stage.run("alice", "ssh-keygen", "-L", "-f", CERTIFICATE).out
        with stage.work("What would ssh-keygen write for -O extension:amr@amrgate=pwd itself?"):
            stage.run("alice", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "own")
            option = ("-O", "extension:amr@amrgate=pwd")
            stage.run("alice", "ssh-keygen", "-q", "-s", "own", "-I", "x", *option, "own.pub")
            own = stage.run("alice", "ssh-keygen", "-L", "-f", "own-cert.pub").out
        stage.expect("the same bytes", _line(listed, "amr@amrgate"), _line(own, "amr@amrgate"))


def _line(text: str, beginning: str) -> str:
    """The line of `text` that begins so, without the blanks around it."""
    found = [line.strip() for line in text.splitlines() if line.strip().startswith(beginning)]
    return found[0] if found else ""
