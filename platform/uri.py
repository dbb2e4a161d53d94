"""URIs of stores and sources: no secret may stand in one.

A URI ends up in manifests, ledgers, logs and messages. So a secret in one is refused, and whatever
other programs say is masked before it is repeated.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from treespan.platform.errors import UserError

_PASSWORD = re.compile(r"(?<=://)[^/?@\s]*:(?!\d+/)[^@\s]*@")
"""User and password before the host. Secrets may hold slashes; a port is no password."""
_PARAMETER = re.compile(
    r"(?<=[?&])([\w-]*(?:secret|token|passw|credential|signature|access_?key|account_?key)[\w-]*)"
    r"=[^&\s]+",
    re.IGNORECASE,
)

FIX = (
    "Leave it out, and give it by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by AWS_PROFILE, by "
    "GOOGLE_APPLICATION_CREDENTIALS, or by the machine's role, on every node."
)


def masked(text: str) -> str:
    """``text`` with the secrets of the URIs in it replaced by ``***``."""
    return _PARAMETER.sub(r"\1=***", _PASSWORD.sub("***@", text))


def without_secrets(uri: str) -> str:
    """``uri`` as it is. Raises ``UserError`` if there is a password or a key in it."""
    if masked(uri) != uri:
        raise UserError(f"{masked(uri)} has a secret in it.", FIX)
    return uri


def _checked(uri: str) -> str:
    try:
        return without_secrets(uri)
    except UserError as error:
        raise ValueError(str(error)) from None


PathOrUri = Annotated[str, Field(min_length=1), AfterValidator(_checked)]
"""A path or a URI in a configuration."""
