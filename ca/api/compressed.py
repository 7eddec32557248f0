"""Answers that are sent compressed, where they are large and whoever asks can read them so."""

import gzip

from starlette.responses import JSONResponse

LEAST = 1024  # bytes: below it a packet or two are all there is to save
LEVEL = 1  # of a policy for 10,000 services, 9 takes 7 % more off, in nine times the time


def compress(answer: JSONResponse, accepted: str) -> JSONResponse:
    """Compress `answer` if the request's `accepted` encodings have gzip. Takes a while if large.

    Only for what is not mixed with words of whoever might watch its length: not for pages.
    """
    encodings = {one.split(";")[0].strip() for one in accepted.split(",")}
    if "gzip" in encodings and len(answer.body) >= LEAST:
        answer.body = gzip.compress(answer.body, LEVEL, mtime=0)
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Content-Length"] = str(len(answer.body))
    return answer
