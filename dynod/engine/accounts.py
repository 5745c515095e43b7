"""Who may come in: for now the machine's own account and its token, made at first start in STATE/secrets."""

import hmac
import os
import secrets
import uuid
from contextlib import suppress

from dynod.host.durable import write_durably
from dynod.model.app import Account
from dynod.model.refused import Refusal, Refused

_NAMESPACE = uuid.UUID("6f1c4d1e-8d5b-4b0e-9a51-6c1f3b7f2a10")


class Accounts:
    """`token` is what `dyno env` hands out."""

    def __init__(self, directory: str, email: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.owner = Account(str(uuid.uuid5(_NAMESPACE, email)), email)
        self.token = self._token(os.path.join(directory, "token"))

    @staticmethod
    def _token(path: str) -> str:
        with suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            if found := file.read().strip():  # an empty one would let in who says nothing
                return found
        token = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        write_durably(path, f"{token}\n".encode(), 0o600)
        return token

    def account(self, token: str) -> Account:
        """Whose token this is; raise Refused(UNAUTHORIZED)."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Refused(Refusal.UNAUTHORIZED, "Invalid credentials provided.")
        return self.owner
