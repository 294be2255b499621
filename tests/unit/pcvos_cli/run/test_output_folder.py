"""What a run clears from its output folder: its own results, and nothing else."""

from pathlib import Path

from pcvos_cli.run.output_folder import OutputFolder


def test_clearing_removes_results_with_their_folders_and_no_file_of_others(tmp_path: Path) -> None:
    ours = ("masks/00000.png", "mattes/1/00000.png", "mattes/12/00000.png", "matte.mp4", "run.json")
    theirs = ("matte/notes.txt", "mattes/2/notes.txt", "photo.png")
    for name in (*ours, *theirs, "mattes/2/00000.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with OutputFolder(tmp_path, overwrite=True) as folder:
        assert folder.holds_results
        folder.clear()
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left - {".pcvos.lock"} == set(theirs)
    folders = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_dir()}
    assert folders == {"matte", "mattes", "mattes/2"}
