"""The receiving half, of which only the transcripts are asked."""

from pathlib import Path

from mailbell.clock import SystemClock
from mailbell.journal.folder import DataFolder
from mailbell.receiving import Receiving
from mailbell.server.transcript import Transcripts
from mailbell.settings import ServiceSettings


def with_transcripts(transcripts: Transcripts, folder: Path) -> Receiving:
    """One that does not listen, and had these connections."""
    with DataFolder(folder) as unused:
        receiving = Receiving(ServiceSettings(), unused, SystemClock())
    receiving.transcripts = transcripts
    return receiving
