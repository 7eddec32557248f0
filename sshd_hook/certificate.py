"""An SSH certificate and its bytes (OpenSSH's PROTOCOL.certkeys), strictly, in both directions.

`parse` accepts one encoding of each certificate, the one that `to_be_signed` writes; so sshd, the
hook and the CA cannot read different things into the same bytes. `check_fields` then says whether
it is such a certificate as our CA issues. There is no cryptography here: sshd verifies before it
runs the hook, the CA in `ca.issuance.verify`.
"""

from sshd_hook.names import is_display_name, is_slug, is_user_id
from sshd_hook.policy import OWN_FACTORS, Claims
from sshd_hook.wire import Reader, WireError, mpint, string, u32, u64

USER, HOST = 1, 2

AMR = "amr@amrgate"
AUTH_TIME = "auth-time@amrgate"
SESSION = "session@amrgate"
NAME = "name@amrgate"
VIA = "via@amrgate"
HAS_MFA = "has-mfa@platform.sh"  # an existing command-line client looks for it
PERMISSIONS = (
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
)
_FLAGS = frozenset(PERMISSIONS) | {HAS_MFA}
_VALUES = frozenset((AMR, AUTH_TIME, SESSION, NAME, VIA))

MAX_BLOB = 8192  # bytes; sshd could not hand the hook more than 98,303 (MAX_ARG_STRLEN)
MAX_AMR = 64  # values
MAX_TIME_DIGITS = 12
MIN_RSA, MAX_RSA = 3072, 16384  # bits; OpenSSH reads no longer ones (SSHBUF_MAX_BIGNUM)

_OPENSSH = "@openssh.com"
KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
ED25519_SIZE = 32  # bytes
UNCOMPRESSED = b"\x04"  # the form of a point that RFC 5656 demands: then x, then y
EC_SIZES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}


def certificate_type(key_type: str) -> str:
    """The name of the certificates for keys of a type."""
    return f"{key_type.removesuffix(_OPENSSH)}-cert-v01{_OPENSSH}"


_PLAIN_TYPES = {certificate_type(key_type): key_type for key_type in KEY_TYPES}


class Certificate:
    """The fields that a CA signs.

    `key_type` is the certificate's own type, such as "ssh-ed25519-cert-v01@openssh.com";
    `public_key` and `signature_key` are plain keys as RFC 4253, section 6.6, encodes them. Times
    are in seconds since the epoch; the certificate is valid from `valid_after` until just before
    `valid_before`. Options are pairs of a name and its data, in byte order of the names.
    """

    __slots__ = (
        "critical_options",
        "extensions",
        "key_id",
        "key_type",
        "kind",
        "nonce",
        "principals",
        "public_key",
        "serial",
        "signature_key",
        "valid_after",
        "valid_before",
    )

    def __init__(  # noqa: PLR0913 -- the format has these twelve
        self,
        *,
        key_type: str,
        nonce: bytes,
        public_key: bytes,
        serial: int,
        kind: int,
        key_id: str,
        principals: "tuple[str, ...]",
        valid_after: int,
        valid_before: int,
        critical_options: "tuple[tuple[str, bytes], ...]",
        extensions: "tuple[tuple[str, bytes], ...]",
        signature_key: bytes,
    ) -> None:
        self.key_type = key_type
        self.nonce = nonce
        self.public_key = public_key
        self.serial = serial
        self.kind = kind
        self.key_id = key_id
        self.principals = principals
        self.valid_after = valid_after
        self.valid_before = valid_before
        self.critical_options = critical_options
        self.extensions = extensions
        self.signature_key = signature_key


# --- bytes ----------------------------------------------------------------------------------


def parse(blob: bytes) -> "tuple[Certificate, bytes, bytes]":
    """Split a certificate into its fields, the bytes its signature covers, and the signature.

    The signature is not verified. sshd has verified it before it runs the hook (sshkey.c,
    cert_parse); every other caller must.

    Raises:
        WireError: the blob is not exactly one certificate of a supported type.
    """
    if len(blob) > MAX_BLOB:
        raise WireError("the certificate is too long")
    reader = Reader(blob)
    certificate = _read_certificate(reader)
    signed = blob[: reader.at]
    signature = reader.string()
    reader.end()
    return certificate, signed, signature


def parse_to_be_signed(signed: bytes) -> Certificate:
    """Read what `to_be_signed` wrote.

    Raises:
        WireError: the bytes are not exactly what a CA signs in a certificate.
    """
    reader = Reader(signed)
    certificate = _read_certificate(reader)
    reader.end()
    return certificate


def to_be_signed(certificate: Certificate) -> bytes:
    """The bytes that the CA's signature covers. The certificate is these and the signature."""
    key = Reader(certificate.public_key)
    key.string()  # its type, which in a certificate is the certificate's own
    return b"".join(
        (
            string(certificate.key_type.encode()),
            string(certificate.nonce),
            key.rest(),
            u64(certificate.serial),
            u32(certificate.kind),
            string(certificate.key_id.encode()),
            string(b"".join(string(name.encode()) for name in certificate.principals)),
            u64(certificate.valid_after),
            u64(certificate.valid_before),
            _options(certificate.critical_options),
            _options(certificate.extensions),
            string(b""),  # reserved
            string(certificate.signature_key),
        )
    )


def check_public_key(blob: bytes) -> str:
    """Return the type of a plain public key.

    Raises:
        WireError: the blob is not exactly one key of a supported type and size. Whether an
            elliptic point is on its curve is for the CA to check.
    """
    reader = Reader(blob)
    key_type = reader.text()
    if key_type not in KEY_TYPES:
        raise WireError("not a public key of a supported type")
    _read_key(reader, key_type)
    reader.end()
    return key_type


def option(value: str) -> bytes:
    """The data of an option with a value: a string in the string (`ssh-keygen -O extension:`)."""
    return string(value.encode())


def unwrap(data: bytes) -> str:
    """Read back what `option` wrote.

    Raises:
        WireError: the data is not exactly one text.
    """
    reader = Reader(data)
    value = reader.text()
    reader.end()
    return value


def _read_certificate(reader: Reader) -> Certificate:
    key_type = reader.text()
    plain_type = _PLAIN_TYPES.get(key_type)
    if plain_type is None:
        raise WireError("not a certificate of a supported type")
    return Certificate(  # Python evaluates the fields in this order, which is the format's
        key_type=key_type,
        nonce=reader.string(),
        public_key=string(plain_type.encode()) + _read_key(reader, plain_type),
        serial=reader.u64(),
        kind=reader.u32(),
        key_id=reader.text(),
        principals=_read_principals(Reader(reader.string())),
        valid_after=reader.u64(),
        valid_before=reader.u64(),
        critical_options=_read_options(Reader(reader.string())),
        extensions=_read_options(Reader(reader.string())),
        signature_key=_read_signature_key(reader),
    )


def _read_key(reader: Reader, key_type: str) -> bytes:
    """Read what makes a key beside its type, and return it as it was written."""
    name = key_type.removeprefix("sk-").removesuffix(_OPENSSH)
    if name == "ssh-rsa":
        exponent, modulus = reader.mpint(), reader.mpint()
        if not MIN_RSA <= modulus.bit_length() <= MAX_RSA:
            raise WireError("an RSA key is too short or too long")
        fields = mpint(exponent) + mpint(modulus)
    elif name == "ssh-ed25519":
        fields = _read_point(reader, b"", ED25519_SIZE)
    else:
        curve = name.removeprefix("ecdsa-sha2-")
        if reader.text() != curve:
            raise WireError("a key is not on the curve that its type names")
        fields = option(curve) + _read_point(reader, UNCOMPRESSED, EC_SIZES[curve])
    return fields + option(reader.text()) if key_type.startswith("sk-") else fields


def _read_point(reader: Reader, form: bytes, size: int) -> bytes:
    point = reader.string()
    if len(point) != size or not point.startswith(form):
        raise WireError("a key is not of its type's length and form")
    return string(point)


def _read_principals(reader: Reader) -> "tuple[str, ...]":
    names = []
    while reader:
        names.append(reader.text())
    return tuple(names)


def _read_options(reader: Reader) -> "tuple[tuple[str, bytes], ...]":
    options: "list[tuple[str, bytes]]" = []
    last = b""
    while reader:
        name, data = reader.text(), reader.string()
        this = name.encode()
        # sshd takes doubles and the last of them counts: another reader may take the first.
        if options and this <= last:
            raise WireError("options are not sorted and unique")
        options.append((name, data))
        last = this
    return tuple(options)


def _read_signature_key(reader: Reader) -> bytes:
    if reader.string():
        raise WireError("the reserved field is not empty")
    key = reader.string()
    check_public_key(key)  # so never a certificate: a key that a CA certified is not a CA
    return key


def _options(options: "tuple[tuple[str, bytes], ...]") -> bytes:
    return string(b"".join(option(name) + string(data) for name, data in options))


# --- what our CA issues ---------------------------------------------------------------------


def check_fields(certificate: Certificate) -> Claims:
    """Check that this is a user certificate as our CA issues them, and nothing beside it.

    Returns what it says about the login.

    Both ask this: the CA before it signs, the hook before it decides. An extension that is not in
    our list is refused like a critical option: the hook obeys nothing that it does not know.
    Neither the time, nor who signed, nor the display name is looked at (`is_valid_at`,
    `display_name`).

    Raises:
        WireError: it is not; the message says what is wrong.
    """
    for name, data in certificate.extensions:
        _check_extension(name, data)
    claims = claims_of(certificate)
    rules = (
        (certificate.kind == USER, "not a user certificate"),
        (certificate.serial != 0, "serial number 0, which cannot be revoked"),
        (is_user_id(certificate.key_id), "the key id is not a user id"),
        (certificate.principals == (certificate.key_id,), "the principal is not the user id alone"),
        (certificate.valid_after < certificate.valid_before, "it is valid at no time"),
        (not certificate.critical_options, "a critical option"),
        (is_user_id(session_handle(certificate)), "the session handle is not a UUID"),
        (
            (_extension(certificate, HAS_MFA) is not None) == ("mfa" in claims.amr),
            "has-mfa and amr contradict each other",
        ),
    )
    for holds, fault in rules:
        if not holds:
            raise WireError(fault)
    return claims


def _check_extension(name: str, data: bytes) -> None:
    if name in _FLAGS:
        if data:
            raise WireError("a value where none belongs")
    elif name in _VALUES:
        unwrap(data)
    else:
        raise WireError("another extension")


def is_valid_at(certificate: Certificate, now: int) -> bool:
    """Half-open, as in sshd (sshkey.c, sshkey_cert_check_authority)."""
    return certificate.valid_after <= now < certificate.valid_before


def claims_of(certificate: Certificate) -> Claims:
    """How the holder logged in.

    Raises:
        WireError: a claim is not in its one canonical form.
    """
    amr, auth_time = _value(certificate, AMR), _value(certificate, AUTH_TIME)
    via = _value(certificate, VIA)
    if via not in (None, "device"):
        raise WireError("via is not a known way")
    return Claims(
        frozenset() if amr is None else _read_amr(amr),
        None if auth_time is None else _read_time(auth_time),
        via or "",
    )


def session_handle(certificate: Certificate) -> str:
    """The handle of the grant session, empty if there is none."""
    return _value(certificate, SESSION) or ""


def display_name(certificate: Certificate) -> str:
    """The name to show: the person's, or the user id if that one is not fit to be shown."""
    name = _value(certificate, NAME) or ""
    return name if is_display_name(name) else certificate.key_id


def is_amr_value(value: str) -> bool:
    """Whether `value` is one of those that `amr` may hold."""
    if value.startswith("sso:"):
        return is_slug(value[4:].removesuffix(":mfa"))
    return value in OWN_FACTORS or value == "mfa"


def _read_amr(text: str) -> "frozenset[str]":
    values = text.split(",")
    if values != sorted(set(values)) or len(values) > MAX_AMR:
        raise WireError("amr is not sorted and unique, or too long")
    if not all(is_amr_value(value) for value in values):
        raise WireError("amr has an unknown value")
    return frozenset(values)


def _read_time(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_TIME_DIGITS:
        raise WireError("auth-time is not a number of seconds")
    if text != str(int(text)):
        raise WireError("auth-time has needless zeros")
    return int(text)


def _value(certificate: Certificate, name: str) -> "str | None":
    data = _extension(certificate, name)
    return None if data is None else unwrap(data)


def _extension(certificate: Certificate, name: str) -> "bytes | None":
    return dict(certificate.extensions).get(name)
