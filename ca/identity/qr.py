"""QR codes."""

import base64
import io

import segno


def png_base64(text: str) -> str:
    """A PNG of `text` as a QR code, dark on white with its quiet zone, in base64."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="png", scale=5, border=4)
    return base64.b64encode(picture.getvalue()).decode()
