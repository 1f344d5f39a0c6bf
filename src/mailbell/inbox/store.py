"""`index.db`: the inbox as tables and words. Blocking calls; one writing connection, reading ones beside it.

A row is narrow in `mail`, so that a million of them are counted and skipped quickly; what a list shows stands
in `card`, what can be searched in `words`. Triggers keep the three together and the figures in `state`:
`position` is the newest mail of the journal that the index knows, also of those that were deleted from it.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from mailbell.errors import DataError
from mailbell.inbox.projection import Row
from mailbell.inbox.query import Condition, compile_query
from mailbell.inbox.vocabulary import SCHEMA as VOCABULARY
from mailbell.inbox.vocabulary import Lookup, Vocabulary
from mailbell.journal.files import (
    Schema,
    execute_rows,
    open_reader,
    open_writer,
    pragma,
    starting,
    transaction,
)
from mailbell.mailbox import Entry, Page, Search, Summary, Which

WORDS = ("subject", "sender", "recipient", "cc", "bcc", "reply_to", "message_id", "body")
COUNTED = 10_000
"""A search counts up to here: to look at a million hits takes longer than anybody waits for a page."""

TOKENIZER = "unicode61 remove_diacritics 2"
"""1, its default, leaves letters with two marks as they are: Vietnamese has them."""

PORTION = 500
"""The most rows that one transaction removes, so that new mail does not wait for long."""

COLUMNS = ", ".join(WORDS)

GONE = """create trigger gone after delete on mail begin
    update state set total = total - 1, unread = unread - not old.read;
    delete from card where sequence = old.sequence;
    delete from words where rowid = old.sequence;
    delete from tag where sequence = old.sequence; end"""


def _learn_all(connection: sqlite3.Connection) -> None:
    """Take in the words of the mails that are here already."""
    vocabulary = Vocabulary(connection)
    for row in connection.execute(f"select {COLUMNS} from words"):  # noqa: S608  ours
        vocabulary.remember(vocabulary.learn(row))


SCHEMA = Schema(
    application_id=0x6D62_6978,  # "mbix"
    page_size=4096,
    steps=(
        (
            """create table mail (
                sequence integer primary key, id text not null, created integer not null,
                size integer not null, attachments integer not null, inline integer not null,
                read integer not null default 0)""",
            "create index by_id on mail (id)",
            "create index unread on mail (sequence) where not read",
            "create table card (sequence integer primary key, summary blob not null)",
            """create table tag (
                name text not null collate nocase, sequence integer not null,
                primary key (name, sequence)) without rowid""",
            "create index tagged on tag (sequence)",
            f"create virtual table words using fts5 ({COLUMNS}, tokenize = 'unicode61')",
            "insert into words (words, rank) values ('automerge', 16)",  # 1.5 times as fast
            "create table state (position integer not null, total integer not null, unread integer not null)",
            "insert into state values (0, 0, 0)",
            """create trigger arrived after insert on mail begin
                update state set total = total + 1, unread = unread + not new.read; end""",
            """create trigger marked after update of read on mail when old.read <> new.read begin
                update state set unread = unread + old.read - new.read; end""",
            GONE,
        ),
        # Parts of words are found. Not by a rebuild: that forgets what users did. With a list for each first
        # letter (a tenth of the file, and of the time a mail takes): FTS5 would gather the words of a million
        # mails before it has the first that begins so.
        (
            "create index if not exists attached on mail (sequence) where attachments > 0",
            "create index if not exists inlined on mail (sequence) where inline > 0",
            f"create virtual table fresh using fts5 ({COLUMNS}, tokenize = '{TOKENIZER}', prefix = '1')",
            f"insert into fresh (rowid, {COLUMNS}) select rowid, {COLUMNS} from words",  # noqa: S608
            "drop trigger gone",  # a table that a trigger names can't be exchanged
            "drop table words",
            "alter table fresh rename to words",
            "insert into words (words, rank) values ('automerge', 16)",
            GONE,
            *VOCABULARY,
            _learn_all,
        ),
    ),
)

ENTRY = """select mail.sequence, card.summary, mail.read,
    (select json_group_array(name) from tag where tag.sequence = mail.sequence)"""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode
_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


class Selected(msgspec.Struct, frozen=True):
    """Which rows: the `select` of their sequences, and its values."""

    sql: str
    values: list[object] = []


class IndexFile:
    """The file, open for writing. For the one thread that writes."""

    def __init__(self, path: Path) -> None:
        """Open, or begin; DataError when that can't be. One that is damaged or not ours is begun anew."""
        self.path = path
        try:
            self._connection = self._open()
        except DataError as error:
            if not _is_useless(error):
                raise
            remove(path)
            self._connection = self._open()
            self.replaced: str | None = str(error)
        else:
            self.replaced = None

    def _open(self) -> sqlite3.Connection:
        connection = open_writer(self.path, SCHEMA, "NORMAL")
        with starting(self.path):
            connection.execute("select position from state, word limit 1").fetchone()
        self._vocabulary = Vocabulary(connection)
        return connection

    def position(self) -> int:
        """The newest mail that the index knows."""
        number: int = self._connection.execute("select position from state").fetchone()[0]
        return number

    def add(self, rows: Sequence[Row], position: int) -> None:
        """Store mails, without those that were there before, and go on to this position."""
        with transaction(self._connection) as db:
            known = self.position()
            new = [row for row in rows if row.sequence > known]
            for table, found in _tables(new):
                execute_rows(db, f"insert or ignore into {table} values {{}}", found)  # noqa: S608  ours
            words = self._vocabulary.learn(text for row in new for text in row.words)
            db.execute("update state set position = max(position, ?)", (position,))
        self._vocabulary.remember(words)

    def set_read(self, which: Which, read: bool) -> list[str]:
        """Mark; the IDs of those that it is news for, unless all were meant."""
        with transaction(self._connection) as db:
            if which is None:
                db.execute("update mail set read = ? where read <> ?", (read, read))
                return []
            found = self._hits(which, f"mail.read <> {read:d}")
            execute_rows(
                db, "update mail set read = ? where sequence in (values {})", [(s,) for s, _ in found], read
            )
        return [id_ for _, id_ in found]

    def delete(self, which: Sequence[str] | Search) -> list[str]:
        """Remove those with these IDs, or a portion of what a query finds; their IDs."""
        found = self._hits(which, "1", PORTION)
        self.drop([sequence for sequence, _ in found])
        return [id_ for _, id_ in found]

    def drop(self, sequences: Sequence[int]) -> int:
        """Remove what the journal no longer has; how many those were."""
        before = self._total()
        for start in range(0, len(sequences), PORTION):
            with transaction(self._connection) as db:
                rows = [(each,) for each in sequences[start : start + PORTION]]
                execute_rows(db, "delete from mail where sequence in (values {})", rows)
        return before - self._total()

    def set_tags(self, ids: Sequence[str], tags: Sequence[str]) -> list[str]:
        """Replace the tags of these mails; the IDs of those that are there."""
        with transaction(self._connection) as db:
            found = self._hits(ids, "1")
            execute_rows(db, "delete from tag where sequence in (values {})", [(s,) for s, _ in found])
            rows = [(tag, sequence) for sequence, _ in found for tag in tags]
            execute_rows(db, "insert or ignore into tag values {}", rows)
        return [id_ for _, id_ in found]

    def rename_tag(self, old: str, new: str) -> None:
        """Give a tag another name; also when only the case of its letters differs."""
        with transaction(self._connection) as db:
            sequences = db.execute("select sequence from tag where name = ?", (old,)).fetchall()
            db.execute("delete from tag where name = ?", (old,))
            execute_rows(db, "insert or ignore into tag values {}", [(new, *each) for each in sequences])

    def remove_tag(self, tag: str) -> None:
        """Take a tag off every mail."""
        with transaction(self._connection) as db:
            db.execute("delete from tag where name = ?", (tag,))

    def shrink(self) -> None:
        """Give free pages back to the disk."""
        if pragma(self._connection, "freelist_count") > 1024:
            self._connection.execute("pragma incremental_vacuum(1024)").fetchall()

    def close(self) -> None:
        """May be called twice."""
        self._connection.close()

    def _hits(self, which: Which, also: str, limit: int = -1) -> list[tuple[int, str]]:
        """Sequence and ID of the rows for which this condition holds too."""
        found: list[tuple[int, str]] = []
        for selected in _selections(which, self._connection):
            sequences = _sequences(self._connection, selected, limit)
            found += self._connection.execute(
                "select mail.sequence, mail.id from json_each(?) as hit"  # noqa: S608  ours
                f" cross join mail on mail.sequence = hit.value where {also}",
                (_json(sequences),),
            )
        return found

    def _total(self) -> int:
        number: int = self._connection.execute("select total from state").fetchone()[0]
        return number


class IndexReader:
    """A reading connection, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_reader(path)

    def close(self) -> None:
        """May be called twice."""
        self._connection.close()

    def figures(self) -> tuple[int, int, int]:
        """All mails, the unread, and the file's octets."""
        total, unread = self._connection.execute("select total, unread from state").fetchone()
        pages = pragma(self._connection, "page_count")
        return total, unread, pages * pragma(self._connection, "page_size")

    def tags(self) -> list[str]:
        """All tags; from one to the next, for `distinct` looks at every mail that has one."""
        rows = self._connection.execute(
            "with recursive each (name) as (select min(name) from tag union all"
            " select (select min(name) from tag where name > each.name) from each where name is not null)"
            " select name from each where name is not null"
        )
        return [row[0] for row in rows]

    def tag_counts(self) -> dict[str, int]:
        """All tags, and how many mails have each."""
        return dict(self._connection.execute("select name, count(*) from tag group by name order by name"))

    def page(self, search: Search | None, start: int, limit: int, before: int) -> Page:
        """See Mailbox.page."""
        selected = _select(search, self._connection, before)
        if search is None:
            total, unread = self._connection.execute("select total, unread from state").fetchone()
            shown = _sequences(self._connection, selected, limit or -1, start)
            return Page(self._entries(shown), total, unread)
        hits = _sequences(self._connection, selected, COUNTED)  # once, for what is shown and what is counted
        if len(hits) < COUNTED or 0 < limit <= COUNTED - start:
            shown = hits[start : start + limit if limit else None]
        else:
            shown = _sequences(self._connection, selected, limit or -1, start)
        return Page(self._entries(shown), len(hits), self._unread(hits))

    def find(self, ids: Sequence[str]) -> tuple[Entry, ...]:
        """The mails with these IDs."""
        db = self._connection
        return tuple(e for some in _selections(ids, db) for e in self._entries(_sequences(db, some)))

    def sequences(self, after: int, limit: int) -> list[int]:
        """The first `limit` sequences after this one."""
        rows = self._connection.execute(
            "select sequence from mail where sequence > ? order by sequence limit ?", (after, limit)
        )
        return [row[0] for row in rows]

    def newest(self) -> tuple[int, str] | None:
        """Sequence and ID of the newest mail."""
        row: tuple[int, str] | None = self._connection.execute(
            "select sequence, id from mail order by sequence desc limit 1"
        ).fetchone()
        return row

    def _unread(self, sequences: Sequence[int]) -> int:
        """How many of these are unread; the index of those is small, and read through at once."""
        number: int = self._connection.execute(
            "select count(*) from json_each(?) as hit where exists"
            " (select 1 from mail indexed by unread where not read and sequence = hit.value)",
            (_json(sequences),),
        ).fetchone()[0]
        return number

    def _entries(self, sequences: Sequence[int]) -> tuple[Entry, ...]:
        rows = self._connection.execute(
            f"{ENTRY} from json_each(?) as hit cross join mail on mail.sequence = hit.value"
            " cross join card on card.sequence = hit.value order by hit.key",
            (_json(sequences),),
        )
        return tuple(_entry(*row) for row in rows)


def create(path: Path, position: int) -> None:
    """Make an empty index that knows of all mail up to this position, whole and closed."""
    remove(path)
    fresh = IndexFile(path)
    fresh.add((), position)
    fresh.close()


def exchange(fresh: Path, path: Path) -> int:
    """Put a whole index in the place of another, at once; a descriptor of that one, to be closed at leisure.

    Only then it is removed, and that takes the file system half a second for two gigabytes.
    """
    old = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)  # somebody may have removed it
    try:
        fresh.replace(path)
    except BaseException:
        os.close(old)
        raise
    return old


def remove(path: Path) -> None:
    """Remove an index and what SQLite keeps beside it. A WAL must never meet a file that it is not of."""
    for suffix in ("-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, so that only a new one helps."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_useless(error: DataError) -> bool:
    """Damaged, of a newer version, no index: to be made anew. Not so when the disk or a right is at fault."""
    cause = error.__cause__
    missing = isinstance(cause, sqlite3.OperationalError) and "no such" in str(cause)
    return cause is None or missing or (isinstance(cause, sqlite3.Error) and is_damage(cause))


def _tables(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Where the rows go, and as what."""
    yield (
        "mail (sequence, id, created, size, attachments, inline)",
        [(r.sequence, s.id, s.created, s.size, s.attachments, s.inline) for r in rows for s in (r.summary,)],
    )
    yield "card", [(row.sequence, _encode(row.summary)) for row in rows]
    yield f"words (rowid, {', '.join(WORDS)})", [(row.sequence, *row.words) for row in rows]
    yield "tag", [(tag, row.sequence) for row in rows for tag in row.tags]


def _entry(sequence: int, summary: bytes, read: int, tags: str) -> Entry:
    return Entry(sequence, _decode(summary), bool(read), tuple(sorted(_decode_tags(tags))))


def _sequences(
    connection: sqlite3.Connection, selected: Selected, limit: int = -1, start: int = 0
) -> list[int]:
    """Newest first."""
    values = (*selected.values, limit, start)
    rows = connection.execute(f"{selected.sql} order by 1 desc limit ? offset ?", values)
    return [row[0] for row in rows]


def _json(sequences: Sequence[int]) -> str:
    return msgspec.json.encode(sequences).decode()


def _selections(which: Which, connection: sqlite3.Connection) -> Iterator[Selected]:
    """The rows; IDs in portions that one statement takes."""
    if which is None or isinstance(which, Search):
        yield _select(which, connection)
        return
    if "latest" in which:
        yield Selected("select sequence from mail where sequence = (select max(sequence) from mail)")
    for ids in _portions([each for each in which if each != "latest"]):
        marks = ",".join("?" * len(ids))
        yield Selected(f"select sequence from mail where id in ({marks})", list(ids))  # noqa: S608  ours


def _portions(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    clean = [each.encode("utf-8", "replace").decode() for each in ids]
    for start in range(0, len(clean), PORTION):
        yield tuple(clean[start : start + PORTION])


def _select(search: Search | None, connection: sqlite3.Connection, before: int = 0) -> Selected:
    """The rows that a query finds. The words, where there are some, lead: FTS5 yields them newest first.

    Where words are sought alone, no table but theirs is looked at. `except` merges, newest first on both
    sides, and goes no further back than it needs; `not in` would gather all mails with the words first.
    """
    condition = Condition() if search is None else compile_query(search, Lookup(connection))
    if before:
        condition.where.append("mail.created < ?")
        condition.values.append(before)
    where = " and ".join(condition.where) or "1"
    if condition.match:
        join = " cross join mail on mail.sequence = words.rowid" if condition.where else ""
        sql = f"select words.rowid from words{join} where words match ? and {where}"  # noqa: S608  ours
        return Selected(sql, [condition.match, *condition.values])
    sql = f"select mail.sequence from mail where {where}"  # noqa: S608  ours
    if condition.without:
        sql += " except select rowid from words where words match ?"
        return Selected(sql, [*condition.values, condition.without])
    return Selected(sql, condition.values)
