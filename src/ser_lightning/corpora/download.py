"""Download a corpus with pooch, resume a partial download, and unpack it."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from ser_lightning.corpora.audio_files import list_corpus_files
from ser_lightning.corpora.definition import Archive
from ser_lightning.errors import InputError, printable

TIMEOUT = 30.0  # seconds without any byte after which a connection counts as failed
RETRIES = 8  # pooch waits 1 s before the first retry and 1 s more before each further one
STAGING = ".unpacking"  # folder whose entries are moved to the root when all of them are unpacked


class ResumingDownloader:
    """Downloader for pooch that continues a partial file; pooch's own downloader always starts at the beginning.

    Args:
        archive: the file to download
        part: the partial file, which is kept if the connection breaks
        title: name of the corpus, shown beside the progress bar

    """

    def __init__(self, archive: Archive, part: Path, *, title: str) -> None:
        self.archive, self.part, self.title = archive, part, title

    def __call__(self, url: str, output_file: str | Path, pooch: Any) -> None:
        """Download ``url`` to ``output_file``.

        Raises:
            OSError: the server refuses the request, so that a retry is useless
            ValueError: the server sends a file of another size
            requests.RequestException: the connection failed; the received bytes are kept for the next attempt

        """
        import requests

        start = self.part.stat().st_size if self.part.exists() else 0
        if start != self.archive.size:
            headers = {"Range": f"bytes={start}-"} if 0 < start < self.archive.size else {}
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                if 400 <= response.status_code < 500 and response.status_code not in (408, 429):
                    raise OSError(f"the server answers {response.status_code} {response.reason}")
                response.raise_for_status()
                # A server that ignores the range answers 200 and sends the whole file.
                self._receive(response, start if response.status_code == requests.codes.partial_content else 0)
        self.part.replace(output_file)  # pooch verifies the checksum and deletes a wrong file

    def _receive(self, response: Any, start: int) -> None:
        from rich import progress
        from rich.console import Console

        # Checked before writing: the login page of a public network must not replace a partial file.
        size = start + int(response.headers.get("Content-Length", self.archive.size - start))
        if size != self.archive.size:
            raise ValueError(f"the server offers {size} bytes, expected {self.archive.size}")
        columns = (f"{self.title}: downloading", progress.BarColumn(), progress.DownloadColumn())
        with (
            progress.Progress(*columns, console=Console(stderr=True)) as bar,
            self.part.open("ab" if start else "wb") as file,
        ):
            task = bar.add_task("download", total=size, completed=start)
            for chunk in response.iter_content(1 << 16):
                bar.advance(task, file.write(chunk))


def fetch_archive(archive: Archive, root: Path, *, title: str) -> None:
    """Download an archive and unpack it into a folder, unless the folder contains audio already.

    An interrupted download resumes where it stopped. An archive that is already in the folder is verified and used.
    The archive is removed after unpacking.

    Args:
        archive: the archive
        root: folder of the corpus; created if absent
        title: name of the corpus, shown beside the progress bar

    Raises:
        InputError: the folder cannot be written, or the download fails

    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    try:
        if _is_fetched(root):  # checked before locking, because the root may be read-only
            return
        root.mkdir(parents=True, exist_ok=True)
        # A second run that starts at the same time waits here and then finds the audio.
        with FileLock(root / ".fetch.lock"):
            if _is_fetched(root):
                return
            repository = pooch.create(
                path=root,
                base_url="",
                registry={archive.name: f"md5:{archive.md5}"},
                urls={archive.name: archive.url},
                retry_if_failed=RETRIES,
            )
            downloader = ResumingDownloader(archive, root / f"{archive.name}.part", title=title)
            unpack(Path(repository.fetch(archive.name, downloader=downloader)), root)
    except (requests.RequestException, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{archive.url}: {' '.join(str(error).split())}; run the command again to resume, or unpack the archive"
            f" into {printable(root)} by hand"
        ) from error
    except OSError as error:
        raise InputError(
            f"{printable(root)}: the download failed: {error.strerror or error}; check the connection and that"
            " corpus.root is writable, then run the command again to resume"
        ) from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ZIP archive and remove it; its entries appear in the folder when all of them are unpacked.

    Entries that exist already are kept: they were moved before an earlier call was interrupted.
    """
    stage = folder / STAGING
    shutil.rmtree(stage, ignore_errors=True)
    with zipfile.ZipFile(archive) as file:
        file.extractall(stage)  # it refuses paths out of the folder, and the checksum was verified
    for entry in sorted(stage.iterdir()):
        if not (folder / entry.name).exists():
            entry.rename(folder / entry.name)
    archive.unlink()
    shutil.rmtree(stage)


def _is_fetched(root: Path) -> bool:
    return root.is_dir() and not (root / STAGING).exists() and bool(list_corpus_files(root, follow_links=True)[0])
