"""Stands in for `valkey-cli`, which does not come with the embedded Valkey: one command, as a user with a password.

It takes the options that docker-compose.yml uses, spelled as valkey-cli spells them, and refuses any other.
"""

import argparse
import socket
import sys

TIMEOUT_SECONDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-p", dest="port", type=int, required=True)
    parser.add_argument("-a", dest="password", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--no-auth-warning", action="store_true")
    parser.add_argument("command")
    given = parser.parse_args()
    asked = f"AUTH {given.user} {given.password}\r\n{given.command}\r\nQUIT\r\n"
    with socket.create_connection(("127.0.0.1", given.port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(asked.encode())
        _, answer, *_ = connection.makefile().read().splitlines()
    sys.stdout.write(f"{answer.removeprefix('+')}\n")


if __name__ == "__main__":
    main()
