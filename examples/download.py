"""Fetches one address within bounds: http or https, so many seconds, so many bytes, no redirect.

It never follows where a server points, and never returns a part of what the server has.
"""

import http.client
import time
import urllib.error
import urllib.request


def _opener() -> urllib.request.OpenerDirector:
    """Knows http and https, and a proxy where the environment names one. No redirects, no files."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


_OPENER = _opener()


def download(url: str, most_bytes: int = 1 << 20, seconds: float = 10) -> bytes:
    """Returns the body of a reply with status 200. Raises an OSError for everything else."""
    deadline = time.monotonic() + seconds
    try:
        with _OPENER.open(url, timeout=seconds / 2) as response:
            if response.status != 200:
                raise OSError(f"status {response.status}")
            body = bytearray()
            while piece := response.read1(65536):
                body += piece
                if len(body) > most_bytes:
                    raise OSError(f"more than {most_bytes} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not whole after {seconds:g} s")
            length = response.headers.get("content-length")
            if length is not None and length != str(len(body)):
                raise OSError("cut off")
            return bytes(body)
    except urllib.error.HTTPError as fault:
        fault.close()
        raise OSError(f"status {fault.code}") from None
    except http.client.HTTPException as fault:
        raise OSError(repr(fault)) from fault
