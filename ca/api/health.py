"""For load balancers: is this worker alive, and can it do its work?"""

from fastapi import APIRouter

from ca.services import Given
from ca.store.engine import ping

router = APIRouter(prefix="/health", tags=["ops"])


@router.get("/live")
async def live() -> dict[str, str]:
    """Answers as long as the worker does."""
    return {"status": "live"}


@router.get("/ready")
def ready(services: Given) -> dict[str, str]:
    """Answers 200 if the database can be read, else 503."""
    ping(services.engine)
    return {"status": "ready"}
