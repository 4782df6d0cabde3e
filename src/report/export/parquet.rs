//! Rows as Parquet: row groups of bounded size, one after the other.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use super::columns::{COLUMNS, Column, Kind, Row, Value};
use crate::model::NanoUsd;

/// Rows of a group: what is held in memory.
const GROUP_ROWS: usize = 65_536;
/// Digits of an amount that 64 bits hold.
const DIGITS: i32 = 18;

/// Writes rows.
pub struct Parquet<W: Write + Send> {
    out: SerializedFileWriter<W>,
    columns: Vec<Held>,
    rows: usize,
}

/// What is held of a column: a level for each row, 1 where there is a value, and the values.
struct Held {
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Numbers(Vec<i64>),
    /// The distinct texts, and which of them stands where.
    Texts {
        known: HashMap<String, u32>,
        texts: Vec<ByteArray>,
        at: Vec<u32>,
    },
}

impl<W: Write + Send> Parquet<W> {
    /// Begins to write.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn new(out: W) -> io::Result<Self> {
        let fields = COLUMNS.iter().map(field).collect::<Result<Vec<_>, _>>().map_err(io_error)?;
        let schema = Type::group_type_builder("runs").with_fields(fields).build().map_err(io_error)?;
        let numbers = COLUMNS.iter().filter(|column| column.kind != Kind::Text);
        // Times and counts are near each other: their differences are small.
        let properties = numbers.fold(WriterProperties::builder(), |properties, column| {
            let path = ColumnPath::from(column.name);
            properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
        });
        let out = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build()));
        Ok(Self { out: out.map_err(io_error)?, columns: COLUMNS.iter().map(Held::new).collect(), rows: 0 })
    }

    /// Takes a row.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
        self.rows += 1;
        if self.rows < GROUP_ROWS { Ok(()) } else { self.write_group() }
    }

    fn write_group(&mut self) -> io::Result<()> {
        self.rows = 0;
        let mut group = self.out.next_row_group().map_err(io_error)?;
        for column in &mut self.columns {
            column.write(&mut group).map_err(io_error)?;
        }
        group.close().map_err(io_error)?;
        Ok(())
    }

    /// Writes what is left, and what stands at the end.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.out.finish().map_err(io_error)?;
        self.out.inner_mut().flush()
    }
}

impl Held {
    fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Texts { known: HashMap::new(), texts: Vec::new(), at: Vec::new() },
            Kind::Integer | Kind::Time | Kind::Dollars => Values::Numbers(Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    fn push(&mut self, value: &Value<'_>) {
        let is_there = match (&mut self.values, value) {
            (Values::Numbers(numbers), Value::Integer(n) | Value::Dollars(NanoUsd(n))) => {
                numbers.push(*n);
                true
            }
            (Values::Numbers(numbers), Value::Time(at)) => {
                numbers.push(at.0);
                true
            }
            (Values::Texts { known, texts, at }, Value::Text(text)) => {
                let next = u32::try_from(texts.len()).unwrap_or(u32::MAX);
                at.push(*known.get(*text).unwrap_or(&next));
                if at.last() == Some(&next) {
                    known.insert((*text).to_owned(), next);
                    texts.push(ByteArray::from(*text));
                }
                true
            }
            _ => false,
        };
        self.levels.push(i16::from(is_there));
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        let levels = std::mem::take(&mut self.levels);
        match &mut self.values {
            Values::Numbers(numbers) => {
                column.typed::<Int64Type>().write_batch(numbers, Some(&levels), None)?;
                numbers.clear();
            }
            Values::Texts { known, texts, at } => {
                let text = |at: &u32| texts.get(usize::try_from(*at).unwrap_or_default()).cloned();
                let values: Vec<ByteArray> = at.iter().filter_map(text).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
                known.clear();
                texts.clear();
                at.clear();
            }
        }
        column.close()
    }
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Integer => (Physical::INT64, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        Kind::Dollars => (Physical::INT64, Some(LogicalType::decimal(NanoUsd::DECIMALS.into(), DIGITS))),
    };
    let mut field = Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    if column.kind == Kind::Dollars {
        field = field.with_scale(NanoUsd::DECIMALS.into()).with_precision(DIGITS);
    }
    field.build().map(Arc::new)
}

/// What the receiver said is handed on as it is: a reader that went away is no error.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        other => io::Error::other(other),
    }
}
