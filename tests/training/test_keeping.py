"""What a run depends on besides its settings."""

from __future__ import annotations

import json

import pytest

import digitlab
from digitlab.training.keeping import environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_environment_has_versions_processor_threads_and_commit():
    found = environment(3)
    assert found["digitlab"] == digitlab.__version__
    assert found["threads"] == 3
    assert all(found[name] not in (None, "", "unknown") for name in found if name != "commit")
    assert json.loads(json.dumps(found)) == found


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Pretend that digitlab is imported from a source tree."""
    monkeypatch.setattr(digitlab, "__file__", str(tmp_path / "src" / "digitlab" / "__init__.py"))
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    return tmp_path / ".git"


@pytest.mark.parametrize("where", ["branch", "packed", "detached"])
def test_the_commit_is_that_of_the_source_tree(checkout, where):
    (checkout / "HEAD").write_text(f"{COMMIT}\n" if where == "detached" else "ref: refs/heads/main\n")
    if where == "branch":
        (checkout / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    if where == "packed":
        (checkout / "packed-refs").write_text(
            f"# pack-refs with: peeled\n{'f' * 40} refs/heads/x\n{COMMIT} refs/heads/main\n"
        )
    assert environment(1)["commit"] == COMMIT


@pytest.mark.parametrize("head", [None, "", "ref: refs/heads/unborn", "not a commit", b"\xff\xfe"])
def test_no_commit_is_known_outside_a_repository_or_in_an_odd_one(checkout, head):
    if head is not None:
        (checkout / "HEAD").write_bytes(head if isinstance(head, bytes) else head.encode())
    assert environment(1)["commit"] is None
