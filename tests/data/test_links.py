"""Links out of a source. Oracle: trees made by hand, of which each says who may look where."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from blank import films
from PIL import Image

from muscle.data.data_file import DataFile
from muscle.data.links import check_links
from muscle.data.scan import scan
from muscle.datasets.folder import Folder
from muscle.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    films(tmp_path / "secret", "1.png", "deep/2.png")
    films(tmp_path / "root", "a/0.png", "b/0.png")
    return tmp_path / "root"


@pytest.mark.parametrize("place", ["x.png", "a/x.png", "a/folder", ".hidden", "b/labels.csv"])
@pytest.mark.parametrize("target", ["secret/1.png", "secret", "nowhere", ".", "root-2"])
def test_links_out_of_the_folder_are_refused_wherever_they_lie(root: Path, place: str, target: str) -> None:
    """Files and folders, those that are not there, the folder above, and one that is called as the root and more."""
    (root.parent / "root-2").mkdir()
    (root / place).symlink_to(root.parent / target)
    with pytest.raises(
        UserError, match=r"^source s: .*is a link to .* outside of .*set follow_links: true"
    ) as told:
        Folder(root=str(root)).read("s")
    assert str(root / place) in str(told.value)
    with pytest.raises(UserError, match="--follow-links"):
        scan(root)


def test_links_within_and_the_root_as_a_link_are_nobodys_business(root: Path) -> None:
    (root / "c").symlink_to(root / "a")
    (root / "d.png").symlink_to("b/0.png")
    (root / "a/up").symlink_to(root)
    (root.parent / "link").symlink_to(root)
    for place in (root, root.parent / "link"):
        assert (
            len(Folder(root=str(place)).read("s")[0]) == 3
        )  # of one folder with two names the films count once
    check_links(root, "x", "y")


def test_a_folder_that_can_be_entered_and_not_listed_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table may name what lies in it. As the system refuses anybody but root; one that lets nobody in is passed."""
    (root / "a/x.png").symlink_to(root.parent / "secret/1.png")
    scandir = os.scandir

    def refused(folder: str) -> object:
        if folder == str(root / "a"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UserError, match=r"^x: .*root/a cannot be listed, so links in it .*chmod u\+r"):
        check_links(root, "x", "y")
    monkeypatch.setattr(os, "access", lambda *_: False)
    check_links(root, "x", "y")


def test_the_way_out(root: Path) -> None:
    """A farm of links to an archive: the first and their number are told; one field, or one option, allows them."""
    for name in ("1.png", "deep/2.png"):
        (root / Path(name).name).symlink_to(root.parent / "secret" / name)
    with pytest.raises(UserError, match=r"root/1\.png is a link .*\(2 such links\)"):
        DataFile.of([str(root)]).read()
    assert len(Folder(root=str(root), follow_links=True).read("s")[0]) == 4
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    for path in (root.parent / "secret/1.png", root / "a/0.png"):
        Image.fromarray(noise).save(path)
    found = scan(root, follow_links=True)
    assert found.proposal is not None and all(s.follow_links for s in found.proposal.sources.values())
    assert "follow_links: true" in found.yaml()
