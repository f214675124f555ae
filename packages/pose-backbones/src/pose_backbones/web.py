"""Open URLs of http and https, wherever redirects lead."""

import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

# build_opener's would also open ftp: and file:, where a server redirects to them.
_HANDLERS = ("Proxy", "HTTP", "HTTPS", "HTTPDefaultError", "Unknown")


def open_url(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> Any:
    """Return the response at a URL, a context manager; timeout: seconds without an answer.

    Raises what urllib does: URLError for another scheme, also where a redirect leads to one, and
    HTTPError for an answer that is not a success, and a redirect from https to http.
    """
    opener = urllib.request.OpenerDirector()
    for name in _HANDLERS:
        opener.add_handler(getattr(urllib.request, f"{name}Handler")())
    opener.add_handler(_Redirects())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.addheaders = []
    return opener.open(urllib.request.Request(url, headers=dict(headers or {})), timeout=timeout)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from https to http: on the way anyone could change what comes."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            text = f"{msg} - Redirection from https to {newurl!r:.200} is not allowed"
            raise HTTPError(req.full_url, code, text, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
