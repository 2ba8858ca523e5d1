"""Pinned dependencies and the vulnerability check of ``make audit``."""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests import supply

ROOT = Path(__file__).parents[1]
HOLE = {
    **{"id": "PYSEC-0000-1", "summary": "a hole", "details": "a hole", "aliases": []},
    **{"published": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z"},
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


class Database(BaseHTTPRequestHandler):
    """Mock of the OSV API that knows one vulnerability."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"vulns": [HOLE]} if asked["package"]["name"] == "jinja2" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def test_installed_versions_match_pins():
    pinned = supply.pins(ROOT / "constraints.txt")
    assert len(pinned) > 100
    # Additional packages are allowed here; make audit reports them.
    assert [line for line in supply.astray(pinned) if not line.endswith("nothing is pinned")] == []
    assert any(line.endswith("is installed, 1.0 is pinned") for line in supply.astray(pinned | {"torch": "1.0"}))


@pytest.mark.parametrize("line", ["torch", "torch>=2", "torch==2.11.0 --hash=x", "--extra-index-url x", ""])
def test_malformed_constraint_raises(tmp_path, line):
    (tmp_path / "constraints.txt").write_text(f"numpy==2.4.6\n{line}\n")
    with pytest.raises(ValueError, match="is not name==version"):
        supply.pins(tmp_path / "constraints.txt")


def test_makefile_installs_with_constraints():
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert len(installs) == 3
    assert all("--constraint constraints.txt" in line for line in installs)
    assert "pip install" not in (ROOT / ".ci" / "run").read_text()


def test_known_vulnerability_is_reported_with_exit_code_1(tmp_path, database, capsys):
    path = tmp_path / "constraints.txt"
    path.write_text("idna==3.20\njinja2==3.1.6\n")
    assert supply.audit(path, "--osv-url", database) == (["jinja2 3.1.6: PYSEC-0000-1, fixed in ['99.0']"], None)
    path.write_text("idna==3.20\n")
    assert supply.audit(path, "--osv-url", database) == ([], None)
    assert supply.main(ROOT / "constraints.txt", "--osv-url", database) == 1
    assert "audited: 1 known holes" in capsys.readouterr().out


def test_unreachable_database_is_reported_as_not_audited(tmp_path, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        code = supply.main(
            ROOT / "constraints.txt", "--osv-url", f"http://127.0.0.1:{unused.getsockname()[1]}/v1/query"
        )
    assert code == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("NOT audited for known holes: the database could not be asked (")
    assert "Connection refused" in last
