"""What was written is not derived again, unless the definition, symrnn's code or a file has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import symrnn
from symrnn import build, record
from symrnn.emit import Artifact

TEXT = "input x[H]\nstate h[H]\nh = tanh(x + h[t-1])\n"


@pytest.fixture
def derived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the cells that are derived from here on."""
    monkeypatch.setenv("SYMRNN_CACHE", str(tmp_path / "store"))
    found: list[str] = []
    honest = build.generated

    def noticed(request: build.Request) -> dict[str, tuple[Artifact, ...]]:
        found.append(request.cell.name)
        return honest(request)

    monkeypatch.setattr(build, "generated", noticed)
    yield found


def generated(folder: Path, text: str = TEXT, checked: bool = True) -> dict[str, tuple[Artifact, ...]]:
    request = build.Request(symrnn.parse(text, "own"), ("numpy",), checked, (folder,))
    (files,) = build.all_generated([request])
    build.write(build.tree(files.values()), folder)
    return files


def test_what_is_up_to_date_is_not_derived_again(tmp_path: Path, derived: list[str]) -> None:
    first = generated(tmp_path)
    assert derived == ["own"]
    assert generated(tmp_path) == first and derived == ["own"]


def test_another_folder_has_nothing_up_to_date(tmp_path: Path, derived: list[str]) -> None:
    generated(tmp_path)
    generated(tmp_path / "other")
    assert len(derived) == 2


@pytest.mark.parametrize("change", ["x", "\n"])
def test_a_file_that_was_edited_or_is_missing_is_written_again(tmp_path: Path, derived: list[str], change: str) -> None:
    generated(tmp_path)
    path, text = tmp_path / "own.py", (tmp_path / "own.py").read_text(encoding="utf-8")
    path.write_text(text + change, encoding="utf-8")
    generated(tmp_path)
    assert len(derived) == 2 and path.read_text(encoding="utf-8") == text
    path.unlink()
    generated(tmp_path)
    assert len(derived) == 3 and path.read_text(encoding="utf-8") == text


def test_another_definition_or_header_is_derived(tmp_path: Path, derived: list[str]) -> None:
    generated(tmp_path)
    generated(tmp_path, TEXT.replace("tanh", "sigmoid"))
    assert len(derived) == 2 and "sigmoid(" in (tmp_path / "own.py").read_text(encoding="utf-8")
    generated(tmp_path)
    generated(tmp_path, checked=False)
    assert len(derived) == 4 and "NOT CHECKED" in (tmp_path / "own.py").read_text(encoding="utf-8")


def test_other_code_of_symrnn_derives_anew(tmp_path: Path, derived: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    generated(tmp_path)
    monkeypatch.setattr(record, "_code", lambda: "other")
    generated(tmp_path)
    assert len(derived) == 2


def test_every_file_of_the_code_and_of_the_templates_counts() -> None:
    root = Path(symrnn.__file__).parent
    read = sorted(name for package in ("symrnn", "symrnn.templates") for name, _ in record._read(record.files(package)))
    written = [p for folder in (root, root.parent / "templates") for p in folder.rglob("*") if p.is_file()]
    data = {".cell", ".toml", ".typed", ".pyc"}  # cells say what they are, words of pages are not generated code
    assert read == sorted(p.name for p in written if p.suffix not in data)


@pytest.mark.parametrize("kind", ["a link", "written by others", "empty"])
def test_a_record_that_is_not_the_users_own_is_not_believed(tmp_path: Path, derived: list[str], kind: str) -> None:
    generated(tmp_path)
    (path,) = (tmp_path / "store").glob("*.written")
    if kind == "a link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "written by others":
        path.chmod(0o666)
    else:
        path.write_text("", encoding="utf-8")
    generated(tmp_path)
    assert len(derived) == 2


def test_without_a_folder_to_keep_records_in_everything_is_derived(
    tmp_path: Path, derived: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SYMRNN_CACHE", str(tmp_path / "file"))
    generated(tmp_path)
    generated(tmp_path)
    assert len(derived) == 2


def test_comparing_derives_everything(tmp_path: Path, derived: list[str]) -> None:
    """`generate --check` must not believe a record."""
    generated(tmp_path)
    list(build.all_generated([build.Request(symrnn.parse(TEXT, "own"), ("numpy",))]))
    assert len(derived) == 2
