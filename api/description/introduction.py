"""What the description of the API says before its first operation: what this is, and what holds everywhere."""

TITLE = "Order Pipeline"
# Of the contract, not of the program: it grows when the contract does.
VERSION = "1.0.0"
SUMMARY = "Accept orders durably, move them along a pipeline, count them exactly."
SERVERS = [{"url": "/", "description": "the server that this description comes from"}]

DESCRIPTION = """\
**Start here.** `register`, `login`, send the `access_token` as `Authorization: Bearer …`, `place_order` under an
`Idempotency-Key`, and follow the order with `stream_order` or with `get_order` and `Prefer: wait=30`.

**Sessions.** An access token is good for 15 minutes. When it is refused (401 `invalid_token`), `refresh` brings the
next pair; each refresh token is spent by that, and if its answer is lost, ask again within 30 seconds. `logout` ends
the session, `change_password` all others of yours: their access tokens are refused within 5 seconds.

**Multi-factor login.** Where it is on, `login` answers 401 `mfa_required` to the right password alone: send it again
with `totp_code` or `recovery_code`. Where a role needs it and it is not on yet, the token of `login` permits nothing
but setting it up (403 `mfa_enrolment_required`): `begin_totp`, `confirm_totp`, and `login` with the app's next code.

**Machines** show an API key instead of an access token, in the same header: `make_api_key` once, and no login. A key
is good for what it was given, as far as its owner's role permits it, until it expires or is revoked; `rotate_api_key`
brings the next one while the old one is still good. `logout` and `change_password` do not end keys.

**Bodies** are JSON in UTF-8, read strictly: unknown or repeated members, unknown query parameters, NaN and control
characters are refused. Money is an integer of minor units beside an ISO 4217 code; instants are RFC 3339 in UTC.

**Retries.** Repeat a `POST` that carries an `Idempotency-Key` under the same key until it is answered: the order exists
once, and the answer is the first one's, byte for byte, marked `Idempotent-Replayed: true`. Keys are kept for 72 hours.

**Concurrency.** An order's `ETag` is its version. `If-Match` moves it only if nobody else did; with `If-None-Match` and
`Prefer: wait=N`, a `GET` answers as soon as it changes.

**Lists** are read page by page: follow `Link: <…>; rel="next"`, or pass `next_cursor` back with the same filters.

**Refusals** are problem documents (RFC 9457). Branch on `code`, show `detail`, quote `request_id` (it is also the
`X-Request-ID` of the answer) when you ask for help. What you sent is never repeated back.
"""

TAGS = [
    {"name": "health", "description": "For load balancers and people on call: does it live, and can it serve?"},
    {"name": "auth", "description": "Accounts, logins, and the tokens everything else asks for."},
    {
        "name": "users",
        "description": "The caller's own account, everybody's for admins, and the keys that verify access tokens.",
    },
    {"name": "mfa", "description": "Multi-factor login: the caller's authenticator app and recovery codes."},
    {"name": "api-keys", "description": "Credentials of machines: made, rotated and revoked by people."},
    {"name": "products", "description": "The catalogue: what can be ordered, at which price."},
    {"name": "orders", "description": "Placing orders, and reading how they fare."},
    {"name": "transitions", "description": "Asking for an order to move: cancel, ship, deliver, retry."},
    {"name": "ops", "description": "For the people who run the system: what it could not do by itself."},
    {"name": "analytics", "description": "Daily aggregates, exact, with the moment as of which they are true."},
    {"name": "ops", "description": "For people on call: how the pipeline is doing."},
]
