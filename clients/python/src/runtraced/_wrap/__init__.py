"""Makes the calls of a model's client steps: OpenAI's SDK and Anthropic's, sync and async.

All calls of such a client go through its method `post`, with the request as the model gets
it. So that one method is replaced, on this one client. Its type stays what it is.
"""

from __future__ import annotations

from typing import TypeVar

from .._client import client as ours
from .._client import log
from ._post import record_calls

Client = TypeVar("Client")


def wrapped(client: Client) -> Client:
    """The same client. What is no client of a known SDK is left as it is, with a warning."""
    sdks = {base.__module__.partition(".")[0] for base in type(client).__mro__}
    known = sdks & {"openai", "anthropic"}
    if not known or not callable(getattr(client, "post", None)):
        name = f"{type(client).__module__}.{type(client).__qualname__}"
        log.warning("wrap does not know clients of type %s", name)
        return client
    try:
        record_calls(client)
    except Exception:  # a client of another version
        ours.fault()
    return client
