//! Keeps how far each push endpoint has been served.

use rusqlite::{OptionalExtension, params};

use super::store::{count, db};
use super::{Ledger, LedgerError, lock};
use crate::model::{EndpointState, UnixMs};

impl Ledger {
    /// Returns the state of an endpoint. One that was never seen before is registered: the series that exist
    /// by then are history for it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn endpoint(&mut self, name: &str) -> Result<EndpointState, LedgerError> {
        let known = self
            .connection
            .query_row(
                "SELECT registered_seq, introduced_seq, pending_zero_ms, last_stamp_ms FROM endpoint WHERE name = ?1",
                [name],
                |row| {
                    Ok(EndpointState {
                        name: name.to_owned(),
                        registered_seq: count(row.get(0)?),
                        introduced_seq: count(row.get(1)?),
                        pending_zero: row.get::<_, Option<i64>>(2)?.map(UnixMs),
                        last_stamp: UnixMs(row.get(3)?),
                    })
                },
            )
            .optional()
            .map_err(|error| self.failed(error))?;
        if let Some(known) = known {
            return Ok(known);
        }
        let state = EndpointState {
            name: name.to_owned(),
            registered_seq: lock(&self.totals).newest_seq(),
            introduced_seq: 0,
            pending_zero: None,
            last_stamp: UnixMs::default(),
        };
        self.save_endpoint(&state)?;
        Ok(state)
    }

    /// Stores the state of an endpoint.
    ///
    /// # Errors
    /// What SQLite says; the stored state is the old one then.
    pub fn save_endpoint(&mut self, state: &EndpointState) -> Result<(), LedgerError> {
        self.connection
            .prepare_cached(
                "INSERT INTO endpoint VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                 registered_seq = ?2, introduced_seq = ?3, pending_zero_ms = ?4, last_stamp_ms = ?5",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    state.name,
                    db(state.registered_seq),
                    db(state.introduced_seq),
                    state.pending_zero.map(|at| at.0),
                    state.last_stamp.0,
                ])
            })
            .map(|_| ())
            .map_err(|error| self.failed(error))
    }
}
