"""What a production process refuses to start with (SECURITY S38). A complaint names a setting, and never its value."""

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

# Parts of what people write down until they have something better.
PLACEHOLDERS = (
    "change",
    "default",
    "dummy",
    "example",
    "insecure",
    "only-for-",
    "password",
    "placeholder",
    "replace",
    "secret",
    "your-",
    "your_",
)
DISTINCT_CHARACTERS_MIN = 8
# Passwords that products come with, and tutorials use.
WELL_KNOWN = frozenset({"admin", "guest", "orders", "postgres", "redis", "root", "test", "valkey"})
UNVERIFIED = frozenset({"none", "optional", "cert_none", "cert_optional"})


def complaints(
    secrets: Mapping[str, str],
    database_urls: Mapping[str, str],
    broker_url: str,
    private_hosts: Collection[str],
    log_level: str,
    *,
    debug: bool,
) -> Iterator[str]:
    """What is unsafe about these settings. They have the right form already."""
    for name, secret in secrets.items():
        if is_placeholder(secret):
            yield f"{name} is an example; generate one with: openssl rand -hex 32"
    for name, url in database_urls.items():
        yield from _about_a_database(name, url, private_hosts)
    for each in broker_url.split(";"):  # Celery takes several.
        yield from _about_a_broker(each, private_hosts)
    if debug:
        yield "DEBUG must be off in production"
    if log_level == "DEBUG":
        yield "LOG_LEVEL must not be DEBUG in production: libraries would log what they send"


def is_placeholder(secret: str) -> bool:
    """Whether this was never meant to be kept secret."""
    return len(set(secret)) < DISTINCT_CHARACTERS_MIN or _sounds_like_one(secret)


def _sounds_like_one(secret: str) -> bool:
    return any(each in secret.lower() for each in PLACEHOLDERS)


def _about_a_database(name: str, url: str, private_hosts: Collection[str]) -> Iterator[str]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        yield f"{name} cannot be read by PostgreSQL's client"
        return
    hosts = f"{given.get('host') or ''},{given.get('hostaddr') or ''}".split(",")
    is_private = all(_is_near(host, private_hosts) for host in hosts)
    if given.get("sslmode") != "verify-full" and not is_private:
        yield f"{name} must say sslmode=verify-full for a database elsewhere (or list its host in PRIVATE_HOSTS)"
    if _is_bad_password(given.get("password"), given.get("user")):
        yield f"{name} has a default or example password"


def _about_a_broker(url: str, private_hosts: Collection[str]) -> Iterator[str]:
    given = urlsplit(url)
    is_private = _is_near(given.hostname or "", private_hosts)
    verification = {each.lower() for each in parse_qs(given.query).get("ssl_cert_reqs", [])}
    if given.scheme != "rediss" and not is_private:
        yield "BROKER_URL must begin with rediss:// for a broker elsewhere (or list its host in PRIVATE_HOSTS)"
    if verification & UNVERIFIED:
        yield "BROKER_URL must not turn off the verification of the broker's certificate"
    if not given.password and not is_local(given.hostname or ""):
        yield "BROKER_URL has no password for a broker elsewhere"
    if _is_bad_password(unquote(given.password or ""), given.username):
        yield "BROKER_URL has a default or example password"


def _is_bad_password(password: object, user: object) -> bool:
    if not password:  # Whether there has to be one is for others to say: there are certificates, and sockets.
        return False
    return password == user or str(password).lower() in WELL_KNOWN or _sounds_like_one(str(password))


def _is_near(host: str, private_hosts: Collection[str]) -> bool:
    return is_local(host) or host in private_hosts


def is_local(host: str) -> bool:
    """Whether this is the same machine: a Unix socket, or the loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
