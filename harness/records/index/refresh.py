"""Bring the index up to the records: only what is new or changed is read, a trial's folder at a time."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.index.manifest import (
    Folder,
    Manifest,
    Sweep,
    load,
    owned_folder,
    prepare,
    save,
    user_key,
)
from harness.records.index.segment import Draft, Segment, sealed, write_file
from harness.records.index.stamps import TICK_NS, Listing, digests, is_known, names, newest_ns
from harness.records.index.tables import FILES, relation
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


@contextlib.contextmanager
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
    with connect() as connection, tempfile.TemporaryDirectory(prefix="joulemark-index-") as scratch:

        def update(target: Path) -> Index:
            home = target if key is None else owned_folder(store, key)
            if keep:
                prepare(store, target)  # also where there is nothing to write
            with uncollected():
                manifest = Manifest() if anew or key is None else load(home, key)
            index = Index(store, manifest, (home, target), connection)
            needed = index.bring_up(listings, files, whole=whole)
            if (needed or index.looked) and key is not None and target == home:
                with contextlib.suppress(*(() if needed else (OSError,))):
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
        connection: of `connect`, by which its files are written, and then read.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        folders: Sequence[Path],
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        self.store = store
        self.connection = connection
        self.manifest = manifest
        self.looked = False
        """Whether a file was read to the end and found as it was written: the next call need not do so."""
        self._folders = folders

    def paths(self, file: str, segments: Iterable[Segment] | None = None) -> list[str]:
        """Return where one file of every segment lies."""
        chosen = self.manifest.segments if segments is None else segments
        return [str(segment.path(self._home(segment, file), file)) for segment in chosen]

    def _home(self, segment: Segment, file: str) -> Path:
        """Return the folder where one file of a segment lies."""
        found = (folder for folder in self._folders if segment.path(folder, file).exists())
        return next(found, self._folders[0])

    def bring_up(self, listings: dict[str, Listing], files: Collection[str], *, whole: bool) -> bool:
        """Read what is new or changed, and tell whether anything had to be done."""
        damaged = self._drop_damaged(files)
        if whole:
            for sweep in self.manifest.sweeps.keys() - listings.keys():
                damaged = True
                del self.manifest.sweeps[sweep]
        changed, moved = self._differences(listings)
        if not (changed or moved or damaged):
            return False
        target = self._folders[-1]
        if target.parent.parent == self.store.root:
            prepare(self.store, target)
        if not (changed or damaged):
            return True
        with uncollected(), _sparing(self.connection):
            self._derive(changed, target)
            self._merge(target)
        return True

    def _drop_damaged(self, files: Collection[str]) -> bool:
        """Forget segments whose files are not as they were written, and with them what they hold."""
        live, lost = self.manifest.live(), set[int]()
        seen = [dict(segment.seen) for segment in self.manifest.segments]
        for segment in list(self.manifest.segments):
            checked = FILES if self._weight(segment, live) < SEGMENT_RECORDS / 2 else files
            if not all(segment.is_whole(self._home(segment, file), file) for file in checked):
                self.manifest.segments.remove(segment)
                lost |= set(segment.entries())
        for sweep in self.manifest.sweeps.values() if lost else ():
            for name in [name for name, folder in sweep.folders.items() if folder.entry in lost]:
                del sweep.folders[name]
        self.looked = seen != [segment.seen for segment in self.manifest.segments]
        return bool(lost)

    @staticmethod
    def _weight(segment: Segment, live: set[int]) -> float:
        """Return about how many records of a segment are in use."""
        entries = segment.entries()
        return segment.records * sum(entry in live for entry in entries) / max(1, len(entries))

    def _differences(self, listings: dict[str, Listing]) -> tuple[list[tuple[str, str, str]], bool]:
        """Return the folders to read, and whether the list must be kept for other reasons."""
        changed, moved = [], False
        for name, listed in listings.items():
            sweep = self.manifest.sweeps.setdefault(name, Sweep())
            known, journal = sweep.folders, self.store.journal.stamps(name)
            now_ns = self._now_ns() if any(folder.fresh for folder in known.values()) else 0
            ours = None if journal == sweep.journal else self.store.journal.digests(name)
            for folder, stamps in listed.items():
                held = known.get(folder)
                if (
                    held is None
                    or held.stamps != stamps
                    or not is_known(stamps)
                    or (ours is not None and _judged_otherwise(held, ours))
                ):
                    changed.append((name, folder, stamps))
                elif held.fresh:
                    if held.torn or digests(self.store, folder, stamps) != held.digests:
                        changed.append((name, folder, stamps))
                    elif now_ns - newest_ns(stamps) > TICK_NS:
                        held.fresh, moved = False, True
            for folder in known.keys() - listed.keys():
                moved = True
                del known[folder]
            moved |= ours is not None
            sweep.journal = journal
        return changed, moved

    def _now_ns(self) -> int:
        """Return the time by the clock of the file system, which may be another host's."""
        with tempfile.NamedTemporaryFile(dir=self._folders[-1]) as file:
            return os.fstat(file.fileno()).st_mtime_ns

    def _derive(self, changed: list[tuple[str, str, str]], target: Path) -> None:
        """Read folders and write their rows, a segment at a time: that bounds the memory."""
        from harness.records.index.decoded import Decoder  # its schema takes a moment, and is seldom needed

        root, parse, now_ns = str(self.store.root), Decoder().parse, self._now_ns()
        draft = Draft(self.manifest.entries, self.manifest.rows)
        journals = {sweep: self.store.journal.digests(sweep) for sweep in {one[0] for one in changed}}
        for place, (sweep, folder, stamps) in enumerate(changed, 1):
            records: list[Record] = []
            torn: list[tuple[str, str]] = []
            for name in names(folder, stamps):
                found = self.store.read_at(f"{root}/{name}", journals[sweep], parse)
                if isinstance(found, Record):
                    records.append(found)
                else:
                    torn.append((name, found.reason))
            self.manifest.sweeps[sweep].folders[folder] = Folder(
                draft.add(records),
                stamps,
                " ".join([record.sha256 for record in records]),
                "".join(["01"[record.merged] for record in records]),
                now_ns - newest_ns(stamps) <= TICK_NS,
                torn,
            )
            if draft.records >= SEGMENT_RECORDS or place == len(changed):
                if draft.records:
                    self.manifest.segments.append(draft.write(self.connection, target))
                self.manifest.entries, self.manifest.rows = draft.entries, draft.rows
                draft = Draft(draft.entries, draft.rows)

    def _merge(self, target: Path) -> None:
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
                used.append(self._merged(group, live, target))
        self.manifest.segments = used

    def _merged(self, group: Sequence[Segment], live: set[int], target: Path) -> Segment:
        connection, token = self.connection, secrets.token_hex(8)
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


def _judged_otherwise(held: Folder, ours: Collection[str]) -> bool:
    """Tell whether the journal says something else by now of what was merged."""
    return any(
        (sha in ours) == (one == "1") for sha, one in zip(held.digests.split(), held.merged, strict=True)
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


@contextlib.contextmanager
def _sparing(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let DuckDB take little memory, and so one thread, while files are written."""
    connection.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = 1")
    try:
        yield
    finally:
        connection.execute("RESET memory_limit; RESET threads")


def connect() -> duckdb.DuckDBPyConnection:
    """Return DuckDB in memory, which loads nothing, spills nothing and sees no variable of this process."""
    import duckdb

    fixed: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": "",
    }
    return duckdb.connect(":memory:", config=fixed)
