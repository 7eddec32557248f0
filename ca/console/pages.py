"""Pages: templates filled in, under a policy that lets nothing run or load but our own files."""

from pathlib import Path
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "static" / "amrgate.css").read_text()
KEY_SCRIPT = (FOLDER / "static" / "webauthn.js").read_text()

_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def show(
    template: str,
    *,
    status: int = 200,
    sends_to: str = "",
    **context: object,
) -> HTMLResponse:
    """The page made from `template`.

    `sends_to` is the client's address that a form of this page leads to in the end: browsers
    hold a form to the policy also where its answer sends it on.
    """
    html = _TEMPLATES.get_template(template).render(**context)
    return HTMLResponse(html, status, {"content-security-policy": _policy(sends_to)})


def _policy(sends_to: str) -> str:
    targets = "'self'"
    if sends_to:
        parts = urlsplit(sends_to)
        targets += f" {parts.scheme}://{parts.netloc}"
    return (
        "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; base-uri 'none';"
        f" form-action {targets}; frame-ancestors 'none'"
    )
