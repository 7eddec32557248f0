"""The words and limits of the directory."""

MEMBER_ROLES = ("owner", "admin", "viewer")
ENVIRONMENT_TYPES = ("production", "staging", "development")
ENVIRONMENT_ROLES = ("admin", "contributor", "viewer")
PROJECT_SCOPE = "project"
PROJECT_ROLES = ("admin", "viewer")

MAX_OFFLINE = 86400  # seconds that a host may decide alone
MIN_OFFLINE = 900  # freshness is renewed every few minutes: less would be an outage at a hiccup

MAX_CERTIFICATE_LIFETIME = 3600  # seconds
MIN_CERTIFICATE_LIFETIME = 300

MAX_ENVIRONMENTS = 256  # of a project, made by the API
MAX_NEW_SERVICES = 100  # of an organization in a day, made by the API
