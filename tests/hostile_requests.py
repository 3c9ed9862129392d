"""What somebody might send over a bare socket who means no good: name → (bytes, the statuses that are an answer to it).

TOKEN stands for a good one. CANARY must never come back, wherever it was put. Every request is complete, so that an
answer is due at once: who only takes their time is in tests/e2e/test_slow_clients.py.
"""

from collections.abc import Iterator, Mapping

from hostile import CANARY

TOKEN = "@token@"
AUTHORIZED = f"Authorization: Bearer {TOKEN}"
JSON = "Content-Type: application/json"
KEYED = (AUTHORIZED, JSON, "Idempotency-Key: k")
ORDER = '{"items":[{"sku":"BOWL","quantity":1}]}'
LOGIN = f'{{"email":"{CANARY}@example.com","password":"{CANARY}"}}'

Corpus = dict[str, tuple[bytes, frozenset[int]]]


def http(start: str, *headers: str, body: str | bytes = b"", host: str = "Host: x", length: bool = True) -> bytes:
    """A request; a body gets its length unless it is not to have one."""
    sent = body.encode("latin-1") if isinstance(body, str) else body
    lines = [start, *([host] if host else []), *headers]
    if sent and length:
        lines.append(f"Content-Length: {len(sent)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + sent


def get(target: str, *headers: str) -> bytes:
    return http(f"GET {target} HTTP/1.1", *headers)


def post(target: str, *headers: str, body: str | bytes = b"", length: bool = True) -> bytes:
    return http(f"POST {target} HTTP/1.1", *headers, body=body, length=length)


def chunked(body: str | bytes, coding: str = "chunked") -> bytes:
    """A login whose body is spelled as it stands here."""
    return post("/v1/auth/login", JSON, f"Transfer-Encoding: {coding}", body=body, length=False)


def _of(statuses: Mapping[str, bytes], *expected: int) -> Iterator[tuple[str, tuple[bytes, frozenset[int]]]]:
    for name, sent in statuses.items():
        yield name, (sent, frozenset(expected))


# The first line cannot be read, or not in one way.
UNREADABLE_LINES = {
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300,
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "SMTP": b"EHLO evil.example\r\n\r\n",
    "Redis": b"*1\r\n$8\r\nFLUSHALL\r\n",
    "PostgreSQL": b"\x00\x00\x00\x08\x04\xd2\x16\x2f\r\n\r\n",
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "NUL bytes": b"\x00" * 64 + b"\r\n\r\n",
    "all byte values": bytes(range(256)) + b"\r\n\r\n",
    "no version": b"GET /health/liveness\r\nHost: x\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method": b" /health/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown method": http(f"{CANARY} / HTTP/1.1"),
    "lower-case method": http("get / HTTP/1.1"),
    "method with a NUL": b"GE\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "method with a control": b"GET\x01 / HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "control in the target": b"GET /\x07 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare line feed in the target": b"GET /\nX HTTP/1.1\r\nHost: x\r\n\r\n",
    "carriage return in the target": b"GET /\rX HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the target": http(f"GET /{CANARY} b HTTP/1.1"),
    "tab after the method": b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "relative target": http(f"GET {CANARY} HTTP/1.1"),
    "version 9.9": http("GET / HTTP/9.9"),
    "version 3.0": http("GET / HTTP/3.0"),
    "version 1.10": http("GET / HTTP/1.10"),
    "version in lower case": http("GET / http/1.1"),
    "no slash in the version": http("GET / HTTP1.1"),
    "another protocol": http("GET / ICAP/1.0"),
    "non-ASCII target": b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "byte order mark": b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: x\r\n\r\n",
}
# Targets that are well formed, and name nothing.
NOWHERE = {
    "dot segments": get("/v1/../../etc/passwd"),
    "encoded dot segments": get("/v1/%2e%2e/%2e%2e/etc/passwd"),
    "encoded slashes": get("/..%2f..%2f..%2fetc%2fpasswd"),
    "encoded twice": get("/%252e%252e%252f"),
    "overlong encoding": get("/%c0%ae%c0%ae/"),
    "encoded NUL": get("/v1/%00"),
    "encoded line end": get("/v1/%0d%0aSet-Cookie:%20a=b"),
    "lone surrogate": get("/v1/%ed%a0%80"),
    "unfinished escape": get("/v1/%"),
    "escape that is none": get("/v1/%zz"),
    "two slashes": get("//v1//orders"),
    "backslashes": get("/v1\\orders"),
    "script": get(f"/<script>{CANARY}</script>".replace("<", "%3C").replace(">", "%3E")),
    "SQL": get("/v1/'%20OR%201=1--"),
    "environment file": get("/.env"),
    "git": get("/.git/config"),
    "metrics of others": get("/actuator/env"),
    "semicolon": get(f"/v1/orders;{CANARY}"),
    "fragment": get(f"/nowhere#{CANARY}"),
    "absolute form": http(f"GET http://{CANARY}.example/nowhere HTTP/1.1"),
    "absolute form of a file": http("GET file:///etc/passwd HTTP/1.1"),
    "asterisk": http("OPTIONS * HTTP/1.1"),
    "format string": get("/%25s%25n%25x"),
    "template": get("/%7B%7B7*7%7D%7D"),
    "log4j": get(f"/$%7Bjndi:ldap://{CANARY}%7D"),
}
METHODS = {
    f"{method} {target}": http(f"{method} {target} HTTP/1.1", AUTHORIZED)
    for method in ("TRACE", "PROPFIND", "PATCH", "LOCK", "SEARCH", "REPORT", "PURGE", "OPTIONS", "DELETE", "M-SEARCH")
    for target in ("/v1/orders", "/health/liveness")
}
# Two parsers could see different ends of these, or of their heads.
AMBIGUOUS = {
    "no host": http("GET /health/liveness HTTP/1.1", host=""),
    "two hosts": get("/health/liveness", f"Host: {CANARY}"),
    "two authorizations": get("/v1/users/me", AUTHORIZED, AUTHORIZED),
    "two lengths": post("/v1/auth/login", JSON, "Content-Length: 2", "Content-Length: 3", body="{} ", length=False),
    "a list of lengths": post("/v1/auth/login", JSON, "Content-Length: 2, 2", body="{}", length=False),
    "negative length": post("/v1/auth/login", JSON, "Content-Length: -1"),
    "length with a plus": post("/v1/auth/login", JSON, "Content-Length: +2", body="{}", length=False),
    "hexadecimal length": post("/v1/auth/login", JSON, "Content-Length: 0x2", body="{}", length=False),
    "length that is no number": post("/v1/auth/login", JSON, f"Content-Length: {CANARY}"),
    "empty length": post("/v1/auth/login", JSON, "Content-Length:"),
    "length beyond 64 bits": post("/v1/auth/login", JSON, "Content-Length: 99999999999999999999"),
    "length and chunks": post(
        "/v1/auth/login", JSON, "Content-Length: 2", "Transfer-Encoding: chunked", body="0\r\n\r\n", length=False
    ),
    "chunks and length": post(
        "/v1/auth/login", JSON, "Transfer-Encoding: chunked", "Content-Length: 5", body="0\r\n\r\n", length=False
    ),
    "chunked, but not last": chunked("0\r\n\r\n", "chunked, gzip"),
    "chunked twice": chunked("0\r\n\r\n", "chunked, chunked"),
    "chunked by another name": chunked("0\r\n\r\n", "xchunked"),
    "identity": chunked("{}", "identity"),
    "space before the colon": get("/health/liveness", "X-A : 1"),
    "space before the colon of a length": post("/v1/auth/login", JSON, "Content-Length : 2", body="{}", length=False),
    "folded header": get("/health/liveness", f"X-A: 1\r\n {CANARY}"),
    "folded first header": http("GET /health/liveness HTTP/1.1", host=" Host: x"),
    "header without a colon": get("/health/liveness", CANARY),
    "header without a name": get("/health/liveness", f": {CANARY}"),
    "header with a space in its name": get("/health/liveness", f"X {CANARY}: 1"),
    "header with a NUL in its name": get("/health/liveness", "X-\x00: 1"),
    "header with bytes in its name": get("/health/liveness", "X-\xff: 1"),
    "NUL in a value": get("/health/liveness", f"X-A: {CANARY}\x00"),
    "control in a value": get("/health/liveness", f"X-A: {CANARY}\x08"),
    "carriage return in a value": get("/health/liveness", "X-A: 1\rX-B: 2"),
    "line feeds alone": b"GET /health/liveness HTTP/1.1\nHost: x\n\n",
    "chunk size that is none": chunked(f"{CANARY}\r\n"),
    "negative chunk": chunked("-1\r\n\r\n"),
    "chunk beyond 64 bits": chunked("fffffffffffffffff\r\n"),
    "chunk longer than it says": chunked("1\r\n{}\r\n0\r\n\r\n"),
    "chunk with a bare line feed": chunked("2\n{}\n0\n\n"),
}
TOO_LARGE_HEADS = {
    "a thousand headers": get("/health/liveness", *(f"X-{number}: 1" for number in range(1000))),
    "65 headers": get("/health/liveness", *(f"X-{number}: 1" for number in range(64))),
    "a hundred cookies": get("/health/liveness", *["Cookie: a=b"] * 100),
    "20 KB in one header": get("/health/liveness", "X-A: " + "x" * 20_000),
    "100 KB in one header": get("/health/liveness", "X-A: " + "x" * 100_000),
    "a megabyte of headers": get("/health/liveness", *(f"X-{number}: " + "x" * 10_000 for number in range(100))),
    "20 KB in the name of a header": get("/health/liveness", "x" * 20_000 + ": 1"),
    "20 KB of a token": get("/v1/users/me", "Authorization: Bearer " + "x" * 20_000),
    "20 KB of a host": http("GET /health/liveness HTTP/1.1", host="Host: " + "x" * 20_000),
}
TOO_LONG_TARGETS = {
    "5 KB of a path": get("/" + "x" * 5000),
    "5 KB of a query": get("/v1/orders?" + "x" * 5000, AUTHORIZED),
    "100 KB of a path": get("/" + "x" * 100_000),
    "a megabyte of a path": get("/" + "x" * 1_000_000),
    "5 KB of slashes": get("/" * 5000),
    "5 KB of escapes": get("/v1/orders?limit=" + "%41" * 1700, AUTHORIZED),
}
TOO_LARGE_BODIES = {
    "a terabyte is announced": post("/v1/orders", *KEYED, "Content-Length: 999999999999"),
    "64 KiB and a byte": post("/v1/orders", *KEYED, body=" " * 65_537),
    "a megabyte": post("/v1/orders", *KEYED, body="[" * 1_000_000),
    "4 KiB and a byte of a login": post("/v1/auth/login", JSON, body=" " * 4097),
    "a megabyte of a login": post("/v1/auth/login", JSON, body=" " * 1_000_000),
    "a chunk of a megabyte": post(
        "/v1/orders", *KEYED, "Transfer-Encoding: chunked", body=b"%x\r\n" % 1_000_000 + b" " * 1_000_000, length=False
    ),
    "20 000 chunks of four bytes": post(
        "/v1/orders", *KEYED, "Transfer-Encoding: chunked", body=b"4\r\n    \r\n" * 20_000, length=False
    ),
    "too much where nothing is": post("/nowhere", body=" " * 100_000),
    "too much for a GET": http("GET /health/liveness HTTP/1.1", body=" " * 100_000),
}
TOKENS = {
    "no token": get("/v1/users/me"),
    "an empty token": get("/v1/users/me", "Authorization: Bearer "),
    "no scheme": get("/v1/users/me", f"Authorization: {TOKEN}"),
    "another scheme": get("/v1/users/me", f"Authorization: Basic {CANARY}"),
    "digest": get("/v1/users/me", f'Authorization: Digest username="{CANARY}"'),
    "bytes": get("/v1/users/me", "Authorization: Bearer \xff\xfe"),
    "a token and more": get("/v1/users/me", f"Authorization: Bearer {TOKEN} {CANARY}"),
    "two tokens in one": get("/v1/users/me", f"Authorization: Bearer {TOKEN}, Bearer {TOKEN}"),
    "4 KB of a token": get("/v1/users/me", "Authorization: Bearer " + "x" * 4097),
    "dots": get("/v1/users/me", "Authorization: Bearer " + "." * 1000),
    "unsigned": get("/v1/users/me", "Authorization: Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiIxIn0."),
    "a token in the query": get(f"/v1/users/me?access_token={TOKEN}"),
    "a token in a cookie": get("/v1/users/me", f"Cookie: token={TOKEN}"),
    "a method that says it is another": post("/v1/orders", "X-HTTP-Method-Override: GET", JSON, body="{}"),
    "a user that is named": get("/v1/users/me", f"X-Forwarded-User: {CANARY}", "X-User-Id: 1"),
    "a path that is named": get("/v1/users/me", "X-Original-URL: /health/liveness", "X-Rewrite-URL: /"),
}
BODIES = {
    "no JSON": post("/v1/auth/login", JSON, body=CANARY),
    "UTF-16": post("/v1/auth/login", JSON, body=LOGIN.encode("utf-16")),
    "a byte order mark": post("/v1/auth/login", JSON, body=b"\xef\xbb\xbf" + LOGIN.encode()),
    "half a character": post("/v1/auth/login", JSON, body=b'{"email":"\xc3"}'),
    "an encoded surrogate": post("/v1/auth/login", JSON, body=b'{"email":"\xed\xa0\x80"}'),
    "an escaped surrogate": post("/v1/auth/login", JSON, body='{"email":"\\ud800"}'),
    "an escaped NUL": post("/v1/auth/login", JSON, body='{"email":"\\u0000"}'),
    "a NUL": post("/v1/auth/login", JSON, body=b"\x00"),
    "a thousand arrays": post("/v1/auth/login", JSON, body="[" * 1000 + "]" * 1000),
    "a thousand objects": post("/v1/auth/login", JSON, body='{"a":' * 600 + "1" + "}" * 600),
    "NaN": post("/v1/orders", *KEYED, body='{"items":[{"sku":"BOWL","quantity":NaN}]}'),
    "a number of 5000 digits": post("/v1/orders", *KEYED, body='{"items":' + "9" * 5000 + "}"),
    "one name twice": post("/v1/orders", *KEYED, body=ORDER[:-1] + ',"items":[]}'),
    "something behind it": post("/v1/orders", *KEYED, body=ORDER + CANARY),
    "no body at all": post("/v1/orders", *KEYED, "Content-Length: 0"),
    "no key": post("/v1/orders", AUTHORIZED, JSON, body=ORDER),
    "an empty key": post("/v1/orders", AUTHORIZED, JSON, "Idempotency-Key:", body=ORDER),
    "a key of bytes": post("/v1/orders", AUTHORIZED, JSON, "Idempotency-Key: \xe9", body=ORDER),
    "a key of 300 characters": post("/v1/orders", AUTHORIZED, JSON, "Idempotency-Key: " + "k" * 300, body=ORDER),
    "two keys": post("/v1/orders", *KEYED, "Idempotency-Key: l", body=ORDER),
    "a query parameter twice": get("/v1/orders?limit=1&limit=1", AUTHORIZED),
    "an unknown query parameter": get(f"/v1/orders?{CANARY}=1", AUTHORIZED),
    "a cursor that was made up": get(f"/v1/orders?cursor={CANARY}", AUTHORIZED),
    "a parameter in the target of a POST": post(f"/v1/orders?{CANARY}=1", *KEYED, body=ORDER),
}
UNSUPPORTED = {
    "a form": post("/v1/auth/login", "Content-Type: application/x-www-form-urlencoded", body=f"email={CANARY}"),
    "a multipart form": post(
        "/v1/auth/login",
        "Content-Type: multipart/form-data; boundary=b",
        body=f'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\n{CANARY}\r\n--b--\r\n',
    ),
    "XML": post(
        "/v1/auth/login",
        "Content-Type: application/xml",
        body=f'<!DOCTYPE a [<!ENTITY {CANARY} SYSTEM "file:///etc/passwd">]>',
    ),
    "no type": post("/v1/auth/login", body=LOGIN),
    "two types": post("/v1/auth/login", JSON, "Content-Type: text/plain", body=LOGIN),
    "a type of bytes": post("/v1/auth/login", "Content-Type: \xff", body=LOGIN),
    "UTF-7": post("/v1/auth/login", f"{JSON}; charset=utf-7", body=LOGIN),
    "gzip": post("/v1/orders", *KEYED, "Content-Encoding: gzip", body=b"\x1f\x8b\x08\x00"),
    "a bomb": post("/v1/orders", *KEYED, "Content-Encoding: br", body=b"\x00" * 1000),
}
UNACCEPTABLE = {
    "a price of one's own": post("/v1/orders", *KEYED, body=ORDER[:-1] + f',"total_minor":1,"<{CANARY}>":1}}'),
    "a negative quantity": post("/v1/orders", *KEYED, body='{"items":[{"sku":"BOWL","quantity":-1}]}'),
    "a quantity beyond 64 bits": post(
        "/v1/orders", *KEYED, body='{"items":[{"sku":"BOWL","quantity":99999999999999999999}]}'
    ),
    "a quantity in words": post("/v1/orders", *KEYED, body=f'{{"items":[{{"sku":"BOWL","quantity":"{CANARY}"}}]}}'),
    "an article that is not there": post("/v1/orders", *KEYED, body=ORDER.replace("BOWL", CANARY[:10])),
    "an array": post("/v1/orders", *KEYED, body="[]"),
    "a limit of bytes": get("/v1/orders?limit=%ff", AUTHORIZED),
    "a limit below nothing": get("/v1/orders?limit=-1", AUTHORIZED),
    "a limit without end": get("/v1/orders?limit=1e999", AUTHORIZED),
    "a status that is none": get(f"/v1/orders?status={CANARY}", AUTHORIZED),
    "a day before all days": get("/v1/orders?placed_at_min=0000-00-00", AUTHORIZED),
}
# What only looks bad: it is served, or refused for what it is.
HARMLESS = {
    "a key that looks like SQL": post(
        "/v1/orders", AUTHORIZED, JSON, "Idempotency-Key: '; DROP TABLE orders; --", body=ORDER
    ),
    "an identifier that is refused": get("/health/liveness", f"X-Request-ID: {CANARY}!!"),
    "a trace that is none": get("/health/liveness", f"Traceparent: 00-{CANARY}-01"),
    "an address that is claimed": get("/health/liveness", f"X-Forwarded-For: {CANARY}", f"Forwarded: for={CANARY}"),
    "a host that is claimed": get("/health/liveness", f"X-Forwarded-Host: {CANARY}.example"),
    "a host of bytes": http("GET /health/liveness HTTP/1.1", host="Host: \xff\xfe"),
    "a host that is a script": http("GET /health/liveness HTTP/1.1", host=f"Host: <script>{CANARY}</script>"),
    "a range": get("/openapi.json", "Range: bytes=0-0,1-1,2-2,3-3,0-999999999"),
    "all encodings": get("/openapi.json", "Accept-Encoding: gzip;q=1e999, *;q=0"),
    "a thousand media types": get("/openapi.json", "Accept: " + "a/b," * 1000),
    "a WebSocket": get(
        "/health/liveness",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ),
    "HTTP/2 by upgrade": get(
        "/health/liveness", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"
    ),
    "a connection that names headers": get("/health/liveness", "Connection: close, Authorization, Host"),
    "an early body": http("GET /health/liveness HTTP/1.1", body=CANARY),
    "a shellshock": get("/health/liveness", f"User-Agent: () {{ :; }}; echo {CANARY}"),
    "HTTP/1.0": b"GET /health/liveness HTTP/1.0\r\n\r\n",
    "empty lines first": b"\r\n\r\n" + get("/health/liveness"),
    "a hundred at once": get("/health/liveness") * 100,
}
OTHERS: Corpus = {
    "a proxy's CONNECT": (http(f"CONNECT {CANARY}.example:443 HTTP/1.1"), frozenset({400, 404, 405})),
    "HEAD": (http("HEAD /health/liveness HTTP/1.1"), frozenset({405})),
    "an expectation that is unknown": (
        post("/v1/auth/login", JSON, f"Expect: {CANARY}", body="{}"),
        frozenset({417, 422}),
    ),
    "a login that is none": (post("/v1/auth/login", JSON, body=LOGIN), frozenset({401, 422})),
    "an order behind a refusal": (
        http("GET /health/liveness HTTP/1.1", host="") + post("/v1/orders", *KEYED, body=ORDER),
        frozenset({400}),
    ),
    "nonsense behind a good request": (get("/health/liveness") + b"\x00\x01\x02\r\n\r\n", frozenset({200})),
    "a body that looks like a request": (post("/nowhere", body=get(f"/{CANARY}")), frozenset({404})),
}
CORPUS: Corpus = {
    **dict(_of(UNREADABLE_LINES, 400)),
    **dict(_of(NOWHERE, 404, 400)),
    **dict(_of(METHODS, 400, 404, 405)),
    **dict(_of(AMBIGUOUS, 400)),
    **dict(_of(TOO_LARGE_HEADS, 431)),
    **dict(_of(TOO_LONG_TARGETS, 414)),
    **dict(_of(TOO_LARGE_BODIES, 413)),
    **dict(_of(TOKENS, 401)),
    **dict(_of(BODIES, 400, 422)),
    **dict(_of(UNSUPPORTED, 415)),
    **dict(_of(UNACCEPTABLE, 422)),
    **dict(_of(HARMLESS, 200, 201)),
    **OTHERS,
}
