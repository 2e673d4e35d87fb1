"""One connection to the daemon, and what its answers mean."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ._settings import Settings

if TYPE_CHECKING:
    from http.client import HTTPConnection

# The daemon answers within --submit-timeout, by default 30 s.
_TIMEOUT_S = 45.0
_SMALLEST_GZIP = 4096
_LONGEST_REASON = 200
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

# What the sender does with a batch.
SETTLED, LATER, SMALLER, WRONG, DENIED = "settled", "later", "smaller", "wrong", "denied"


# Held while the background thread imports. A fork waits for it: else the child would inherit
# modules that are half imported, and nobody to go on.
IMPORTS = threading.Lock()


def import_network() -> None:
    """Imports what sending needs. It takes longer than the whole package."""
    with IMPORTS:
        import encodings.idna
        import gzip
        import http.client
        import urllib.parse

        # Imported for later; named here so that no tool takes them for forgotten.
        _ = (encodings.idna, gzip, http.client, urllib.parse)


class Answer(NamedTuple):
    """What became of a request."""

    verdict: str
    why: str = ""
    # Seconds to wait, if the daemon says so.
    retry_after: Optional[float] = None
    refused: Tuple[Dict[str, Any], ...] = ()


class Transport:
    """Sends over a connection that is kept open. Used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Optional[HTTPConnection] = None
        self._timeout_s = _TIMEOUT_S
        self._endpoint = ""

    def post(self, lines: List[bytes]) -> Answer:
        """Sends events."""
        body = b"\n".join(lines)
        headers = {"Content-Type": "application/x-ndjson", **self._headers()}
        if len(body) >= _SMALLEST_GZIP and not self._is_loopback():
            import gzip

            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        try:
            status, retry_after, content = self._request("POST", "/v1/events", body, headers)
        except Exception as error:  # whatever a network, a proxy or a TLS library raises
            self.close()
            return Answer(LATER, f"{self._settings.endpoint} does not answer: {error}")
        return _answer(status, retry_after, content)

    def get(self, path: str, timeout: float) -> Tuple[int, Any]:
        """The status and the JSON of a path. Raises what the network raises, or after seconds."""
        self._timeout_s = timeout
        try:
            status, _, content = self._request("GET", path, None, self._headers())
        except Exception:
            self.close()
            raise
        return status, _json(content)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _headers(self) -> Dict[str, str]:
        headers = {"User-Agent": "runtraced-python"}
        key = (self._settings.key or "").strip()
        if key:
            # An error of the library would show the key.
            if not all("!" <= char <= "~" for char in key):
                raise ValueError("the key of runtraced has characters that no key has")
            headers["Authorization"] = f"Bearer {key}"
        if self._settings.customer:
            headers["Runtraced-Customer"] = self._settings.customer
        return headers

    def _is_loopback(self) -> bool:
        return any(f"//{host}" in self._settings.endpoint.replace("[", "") for host in _LOOPBACK)

    def _request(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str]
    ) -> Tuple[int, Optional[str], bytes]:
        from http.client import HTTPException

        if self._endpoint != self._settings.endpoint:
            self.close()
            self._endpoint = self._settings.endpoint
        reused = self._connection is not None
        connection, prefix = self._connected()
        try:
            connection.request(method, prefix + path, body, headers)
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            # The daemon has closed an idle connection: that is no reason to wait.
            if not reused or isinstance(error, TimeoutError):
                raise
            connection, prefix = self._connected()
            connection.request(method, prefix + path, body, headers)
            response = connection.getresponse()
        return response.status, response.getheader("Retry-After"), response.read()

    def _connected(self) -> Tuple[HTTPConnection, str]:
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        url = urlsplit(self._endpoint if "//" in self._endpoint else f"http://{self._endpoint}")
        if self._connection is None:
            secure = url.scheme == "https"
            kind = HTTPSConnection if secure else HTTPConnection
            port = url.port or (443 if secure else 80)
            self._connection = kind(url.hostname or "127.0.0.1", port, timeout=self._timeout_s)
        elif self._connection.sock is not None:
            self._connection.sock.settimeout(self._timeout_s)
        return self._connection, url.path.rstrip("/")


def _answer(status: int, retry_after: Optional[str], content: bytes) -> Answer:
    found = _json(content)
    known = found if isinstance(found, dict) else {}
    # Whoever is no daemon says in another form what is wrong, such as its gRPC port.
    said = content[:_LONGEST_REASON].decode("utf-8", "replace").strip()
    why = str(known.get("error") or f"HTTP status {status}: {said}".rstrip(": "))
    refused = known.get("refused")
    if status == 200 and "accepted" not in known:
        return Answer(DENIED, f"what answers there is no runtraced: {said}")
    if isinstance(refused, list) or status == 200:
        events = tuple(one for one in refused or () if isinstance(one, dict))
        return Answer(SETTLED, refused=events)
    if status in (408, 429) or status >= 500:
        return Answer(LATER, why, _seconds(retry_after))
    if status == 413:
        return Answer(SMALLER, why)
    return Answer(WRONG if status == 400 else DENIED, why)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _seconds(retry_after: Optional[str]) -> Optional[float]:
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:  # a date, which the daemon does not send
        return None
