"""Where the files of an export go, and when that is refused."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import BadInput
from workbench.export.formats import Format

MARK = "<!-- written by workbench export -->"  # in every card; a folder with it is one of ours
TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Places:
    """The targets of one export. A folder is replaced part by part: data/, the card, the audit."""

    root: Path  # the file, or the folder
    data: dict[str, Path]  # by split; for a folder the one data/ folder under each split
    card: Path
    audit: Path
    folder: bool

    def refuse_to_overwrite(self, force: bool) -> None:
        """Refuse what would destroy something.

        Raises:
            BadInput: A target is there and `force` is not given; or it is a folder that no
                export wrote, which is never replaced.
        """
        if self.folder:
            self._check_folder(force)
            return
        for path in (*self.data.values(), self.card, self.audit):
            if path.is_dir():
                raise BadInput(f"{path}: is a folder; name a file by --out")
            if path.exists() and not force:
                raise BadInput(
                    f"{path}: is already there; --force replaces it, --out goes elsewhere"
                )

    def _check_folder(self, force: bool) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise BadInput(f"{self.root}: is a file; name a folder by --out")
        if not self.root.exists() or not any(self.root.iterdir()):
            return
        if not self.card.is_file() or MARK not in self.card.read_text(encoding="utf-8"):
            raise BadInput(
                f"{self.root}: is a folder that no export wrote, so it is not touched; "
                "choose another --out"
            )
        if not force:
            raise BadInput(
                f"{self.root}: is already there; --force replaces its data and card, "
                "--out goes elsewhere"
            )


def places(exports: Path, fmt: Format, out: Path | None, splits: tuple[str, ...]) -> Places:
    """The targets of an export.

    Args:
        exports: The project's folder for exports, used when `out` is not given.
        fmt: The format.
        out: A file (a folder for `hf-folder`); an existing folder takes the default file name.
        splits: The splits that there are, each a file of its own where there are several.
    """
    stem: str = "curated" if fmt.shape == "ab" else fmt.name
    default = stem if fmt.folder else f"{stem}.{fmt.container}"
    root = out if out is not None else exports / default
    if fmt.folder:
        data = dict.fromkeys(splits, root / "data")
        return Places(root, data, root / "README.md", root / "audit.json", True)
    if root.is_dir():
        root = root / default
    stem, suffix = _parts(root)
    data = {name: root.with_name(f"{stem}-{name}{suffix}") for name in splits}
    if len(splits) == 1:
        data = {splits[0]: root}
    card, audit = root.with_name(f"{root.name}.card.md"), root.with_name(f"{root.name}.audit.json")
    return Places(root, data, card, audit, False)


def _parts(path: Path) -> tuple[str, str]:
    """A file name as stem and suffix, where .jsonl.gz is one suffix."""
    stem, suffix = path.stem, path.suffix
    if suffix == ".gz":
        inner = Path(stem)
        stem, suffix = inner.stem, inner.suffix + suffix
    return stem, suffix
