"""Bring the index up to the records: only what is new or changed is read, a trial's folder at a time."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.records.index.manifest import (
    Folder,
    Manifest,
    Stamp,
    load,
    owned_folder,
    prepare,
    save,
    user_key,
)
from harness.records.index.segment import Draft, Segment, digest, sealed, write_file
from harness.records.index.tables import FILES, relation
from harness.records.listing import RECORD, find
from harness.records.schema import Record
from harness.records.store import Store
from harness.system.collector import uncollected
from harness.system.errors import ResourceError
from harness.system.native import cache_folder

if TYPE_CHECKING:
    import duckdb

SEGMENT_RECORDS = 2048
"""Records of a segment at most, and so of what is held in memory."""
_SMALL_SEGMENTS = 8
"""More segments than these that are less than half full are written as one."""
_MEMORY = "128MB"
Listing = dict[str, list[Stamp]]
"""By trial's folder below the root, what may be records in it."""


def listing(store: Store, sweep: str) -> Listing:
    """Return what lies in a sweep's folder: every file that may be a record, by its trial's folder."""
    found: Listing = {}
    cut = len(str(store.root)) + 1
    for path, facts in find(str(store.sweep_dir(sweep))):
        below = path[cut:]
        folder, _, name = below.rpartition("/")
        if name == RECORD and folder.count("/") == 3:
            folder, _, attempt = folder.rpartition("/")
            name = f"{attempt}/{name}"
        stamp: Stamp = [name, -1, 0, 0]
        if facts is not None:
            stamp[1:] = facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
        found.setdefault(folder, []).append(stamp)
    return found


@contextmanager
def refreshed(
    store: Store,
    listings: dict[str, Listing],
    files: Collection[str],
    *,
    whole: bool = False,
    anew: bool = False,
    keep: bool = False,
) -> Iterator[Index]:
    """Give the index with these sweeps as they are listed.

    It is kept in the store's folder `index` where that can be written, else for this call alone.

    Args:
        store: whose records.
        listings: by sweep, from `listing`.
        files: of each segment, those whose contents are used, and so checked before.
        whole: there are no other sweeps; else those in the index stay as they were.
        anew: take nothing from the index that is there.
        keep: fail where it cannot be kept.

    Raises:
        OSError: it cannot be kept, or not even be made in a temporary folder.
    """
    key = user_key()
    with TemporaryDirectory(prefix="joulemark-index-") as scratch:

        def update(target: Path) -> Index:
            home = target if key is None else owned_folder(store, key)
            if keep:
                prepare(store, target)  # also where there is nothing to write
            manifest = Manifest() if anew or key is None else load(home, key)
            index = Index(store, manifest, (home, target))
            if index.bring_up(listings, files, whole=whole) and key is not None and target == home:
                save(home, key, manifest)
            return index

        if key is None:
            if keep:
                raise ResourceError(f"{cache_folder()}: no key of this user's indexes can be kept there")
            yield update(Path(scratch))
            return
        try:
            index = update(owned_folder(store, key))
        except OSError:
            if keep:
                raise
            index = update(Path(scratch))
        yield index


class Index:
    """The index of some sweeps: its list, and where its files lie.

    Args:
        store: whose records.
        manifest: what the index was made from; it is changed here.
        folders: where its files may lie; new ones go into the last.
    """

    def __init__(self, store: Store, manifest: Manifest, folders: Sequence[Path]) -> None:
        self.store = store
        self.manifest = manifest
        self._folders = folders

    def paths(self, file: str, segments: Iterable[Segment] | None = None) -> list[str]:
        """Return where one file of every segment lies."""
        chosen = self.manifest.segments if segments is None else segments
        return [str(self._path(segment, file)) for segment in chosen]

    def _path(self, segment: Segment, file: str) -> Path:
        paths = [segment.path(folder, file) for folder in self._folders]
        return next((path for path in paths if path.exists()), paths[0])

    def bring_up(self, listings: dict[str, Listing], files: Collection[str], *, whole: bool) -> bool:
        """Read what is new or changed, and tell whether anything had to be done."""
        damaged = self._drop_damaged(files)
        if whole:
            for sweep in self.manifest.sweeps.keys() - listings.keys():
                damaged = True
                del self.manifest.sweeps[sweep]
        changed, gone = self._differences(listings)
        if not (changed or gone or damaged):
            return False
        target = self._folders[-1]
        if target.parent.parent == self.store.root:
            prepare(self.store, target)
        with uncollected(), connect(memory_limit=_MEMORY, threads=1) as connection:
            self._derive(connection, changed, target)
            self._merge(connection, target)
        return True

    def _drop_damaged(self, files: Collection[str]) -> bool:
        """Forget segments whose files are not as they were written, and with them what they hold."""
        live, lost = self.manifest.live(), set[int]()
        for segment in list(self.manifest.segments):
            checked = FILES if self._weight(segment, live) < SEGMENT_RECORDS / 2 else files
            if any(digest(self._path(segment, file)) != segment.sha256[file] for file in checked):
                self.manifest.segments.remove(segment)
                lost |= set(segment.entries())
        for folders in self.manifest.sweeps.values() if lost else ():
            for name in [name for name, folder in folders.items() if folder.entry in lost]:
                del folders[name]
        return bool(lost)

    @staticmethod
    def _weight(segment: Segment, live: set[int]) -> float:
        """Return about how many records of a segment are in use."""
        entries = segment.entries()
        return segment.records * sum(entry in live for entry in entries) / max(1, len(entries))

    def _differences(self, listings: dict[str, Listing]) -> tuple[list[tuple[str, str, list[Stamp]]], bool]:
        changed, gone = [], False
        for sweep, listed in listings.items():
            known = self.manifest.sweeps.setdefault(sweep, {})
            ours = self.store.journal.digests(sweep)
            for folder, stamps in listed.items():
                held = known.get(folder)
                if held is None or held.stamps != stamps or _may_differ(held, ours):
                    changed.append((sweep, folder, stamps))
            for folder in known.keys() - listed.keys():
                gone = True
                del known[folder]
        return changed, gone

    def _derive(
        self,
        connection: duckdb.DuckDBPyConnection,
        changed: list[tuple[str, str, list[Stamp]]],
        target: Path,
    ) -> None:
        """Read folders and write their rows, a segment at a time: that bounds the memory."""
        root, draft = str(self.store.root), Draft(self.manifest.next)
        journals = {sweep: self.store.journal.digests(sweep) for sweep in {one[0] for one in changed}}
        for place, (sweep, folder, stamps) in enumerate(changed, 1):
            records: list[Record] = []
            torn: list[tuple[str, str]] = []
            for name, *_ in stamps:
                below = f"{folder}/{name}" if folder else name
                found = self.store.read_at(f"{root}/{below}", journals[sweep])
                if isinstance(found, Record):
                    records.append(found)
                else:
                    torn.append((below, found.reason))
            self.manifest.sweeps[sweep][folder] = Folder(
                draft.add(records), stamps, torn, [(record.sha256, record.merged) for record in records]
            )
            if draft.records >= SEGMENT_RECORDS or place == len(changed):
                if draft.records:
                    self.manifest.segments.append(draft.write(connection, target))
                self.manifest.next = draft.next
                draft = Draft(draft.next)

    def _merge(self, connection: duckdb.DuckDBPyConnection, target: Path) -> None:
        """Drop segments of which nothing is in use, and write many small ones as one."""
        live = self.manifest.live()
        weights = {s.token: self._weight(s, live) for s in self.manifest.segments}
        used = [s for s in self.manifest.segments if weights[s.token]]
        small = [s for s in used if weights[s.token] < SEGMENT_RECORDS / 2]
        if len(small) > _SMALL_SEGMENTS:
            used = [s for s in used if s not in small]
            while small:
                group = [small.pop(0)]
                while small and sum(weights[s.token] for s in group) < SEGMENT_RECORDS / 2:
                    group.append(small.pop(0))
                used.append(self._merged(connection, group, live, target))
        self.manifest.segments = used

    def _merged(
        self,
        connection: duckdb.DuckDBPyConnection,
        group: Sequence[Segment],
        live: set[int],
        target: Path,
    ) -> Segment:
        token = secrets.token_hex(8)
        entries = sorted(entry for segment in group for entry in segment.entries() if entry in live)
        dead = [entry for segment in group for entry in segment.entries() if entry not in live]
        old = {file: relation(file, self.paths(file, group), dead) for file in FILES}
        new = {file: target / f"{token}.{file}.parquet" for file in FILES}
        records = write_file(connection, f"FROM {old['records']}", new["records"])
        write_file(connection, f"FROM {old['trials']}", new["trials"])
        for file, key, owner in (("metrics", "record", "records"), ("estimates", "trial", "trials")):
            kept = relation(owner, [str(new[owner])])
            write_file(connection, f"FROM {old[file]} SEMI JOIN {kept} USING ({key})", new[file])
        uses = " UNION ALL ".join(
            f"SELECT kind FROM {relation(file, [str(new[file])])}" for file in ("metrics", "estimates")
        )
        write_file(connection, f"FROM {old['kinds']} SEMI JOIN ({uses}) USING (kind)", new["kinds"])
        return sealed(target, token, _spans(entries), records)


def _may_differ(held: Folder, ours: Collection[str]) -> bool:
    """Tell whether a folder that is listed as before may be another by now."""
    return any(stamp[1] < 0 for stamp in held.stamps) or any(
        (sha256 in ours) == merged for sha256, merged in held.merged
    )


def _spans(entries: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return rising numbers as stretches without a gap, each from and up to."""
    spans: list[tuple[int, int]] = []
    for entry in entries:
        if spans and spans[-1][1] == entry:
            spans[-1] = (spans[-1][0], entry + 1)
        else:
            spans.append((entry, entry + 1))
    return tuple(spans)


def connect(**settings: str | int) -> duckdb.DuckDBPyConnection:
    """Return DuckDB in memory, which loads nothing, spills nothing and sees no variable of this process."""
    import duckdb

    fixed: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": "",
    }
    return duckdb.connect(":memory:", config=fixed | settings)
