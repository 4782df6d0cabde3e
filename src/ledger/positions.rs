//! How far sources were read: rows to positions and back.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::store::{count, db};
use super::{Ledger, LedgerError};
use crate::model::{FileId, FilePosition, LineMark, Position, SourceId, TablePosition};

impl Ledger {
    /// Returns how far each source was read whose name begins so.
    pub fn positions_under<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a SourceId, &'a Position)> + 'a {
        self.book.positions.iter().filter(move |(source, _)| source.0.starts_with(prefix))
    }

    /// Forgets how far sources were read that are gone for good: those whose name begins so and that are not kept.
    ///
    /// # Errors
    /// What SQLite says; nothing was forgotten then.
    pub fn forget_positions(
        &mut self,
        prefix: &str,
        keep: impl Fn(&SourceId) -> bool,
    ) -> Result<(), LedgerError> {
        let gone = |source: &&SourceId| source.0.starts_with(prefix) && !keep(source);
        let gone: Vec<SourceId> = self.book.positions.keys().filter(gone).cloned().collect();
        if !gone.is_empty() {
            delete_positions(&mut self.connection, &gone).map_err(|error| self.failed(error))?;
            gone.iter().for_each(|source| _ = self.book.positions.remove(source));
        }
        Ok(())
    }
}

fn delete_positions(connection: &mut Connection, gone: &[SourceId]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for source in gone {
        transaction.prepare_cached("DELETE FROM position WHERE source = ?1")?.execute([&source.0])?;
    }
    transaction.commit()
}

/// Loads all positions.
pub fn load_positions(connection: &Connection) -> rusqlite::Result<HashMap<SourceId, Position>> {
    let mut positions = HashMap::new();
    let mut statement = connection.prepare(
        "SELECT source, dev, ino, byte_offset, last_hash, last_previous, last_len, skipped FROM position",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let hash: Option<i64> = row.get(4)?;
        let last = match hash {
            Some(hash) => Some(LineMark {
                hash: hash.cast_unsigned(),
                previous: row.get::<_, i64>(5)?.cast_unsigned(),
                len: count(row.get(6)?),
            }),
            None => None,
        };
        let (offset, skipped) = (count(row.get(3)?), count(row.get(7)?));
        let position = FilePosition { file: file_id(row)?, offset, last, skipped };
        positions.insert(SourceId(row.get(0)?), Position::File(position));
    }
    let mut statement =
        connection.prepare("SELECT source, dev, ino, schema, row, mark, open FROM table_position")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let open: Vec<u8> = row.get(6)?;
        let position = TablePosition {
            file: file_id(row)?,
            schema: row.get(3)?,
            row: row.get(4)?,
            mark: row.get::<_, i64>(5)?.cast_unsigned(),
            open: open.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        };
        positions.insert(SourceId(row.get(0)?), Position::Table(position));
    }
    Ok(positions)
}

fn file_id(row: &rusqlite::Row<'_>) -> rusqlite::Result<FileId> {
    Ok(FileId { dev: row.get::<_, i64>(1)?.cast_unsigned(), ino: row.get::<_, i64>(2)?.cast_unsigned() })
}

/// Writes a position.
pub fn save_position(
    connection: &Connection,
    source: &SourceId,
    position: &Position,
) -> rusqlite::Result<()> {
    match position {
        Position::File(position) => save_file_position(connection, source, position),
        Position::Table(position) => save_table_position(connection, source, position),
    }
}

fn save_file_position(
    connection: &Connection,
    source: &SourceId,
    position: &FilePosition,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO position VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET dev = ?2, ino = ?3, byte_offset = ?4, last_hash = ?5, last_previous = ?6,
         last_len = ?7, skipped = ?8",
    )?;
    let last = position.last;
    statement.execute(params![
        source.0,
        position.file.dev.cast_signed(),
        position.file.ino.cast_signed(),
        db(position.offset),
        last.map(|mark| mark.hash.cast_signed()),
        last.map(|mark| mark.previous.cast_signed()),
        last.map(|mark| db(mark.len)),
        db(position.skipped),
    ])?;
    Ok(())
}

fn save_table_position(
    connection: &Connection,
    source: &SourceId,
    position: &TablePosition,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO table_position VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET dev = ?2, ino = ?3, schema = ?4, row = ?5, mark = ?6, open = ?7",
    )?;
    let open: Vec<u8> = position.open.iter().flat_map(|row| row.to_le_bytes()).collect();
    statement.execute(params![
        source.0,
        position.file.dev.cast_signed(),
        position.file.ino.cast_signed(),
        position.schema,
        position.row,
        position.mark.cast_signed(),
        open,
    ])?;
    Ok(())
}
