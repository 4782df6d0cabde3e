//! Samples of the past as blocks of Prometheus's, made by `promtool` of OpenMetrics text, a part of a day at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::servers::promtool_create_blocks;

/// Time of a part: a block of Prometheus's own sizes, and not too large a text.
const PART_MS: i64 = 18 * 3_600_000;

/// Writes samples in the order of their times.
pub struct Blocks {
    data: PathBuf,
    scratch: TempDir,
    part: Option<(i64, BufWriter<File>)>,
    samples: u64,
}

impl Blocks {
    /// Into that data directory.
    pub fn new(data: &Path) -> io::Result<Self> {
        Ok(Self { data: data.to_owned(), scratch: TempDir::new()?, part: None, samples: 0 })
    }

    /// Each line (a series and its value) as a sample at each of these times.
    pub fn add(&mut self, lines: &[String], times: impl Iterator<Item = i64>) -> io::Result<()> {
        for at in times {
            let part = at.div_euclid(PART_MS);
            if self.part.as_ref().is_some_and(|(open, _)| *open != part) {
                self.close()?;
            }
            if self.part.is_none() {
                self.part = Some((part, BufWriter::with_capacity(1 << 20, File::create(self.text())?)));
            }
            let Some((_, writer)) = &mut self.part else { continue };
            let stamp = format!(" {}.{:03}\n", at.div_euclid(1_000), at.rem_euclid(1_000));
            for line in lines {
                writer.write_all(line.as_bytes())?;
                writer.write_all(stamp.as_bytes())?;
            }
            self.samples += u64::try_from(lines.len()).unwrap_or(0);
        }
        Ok(())
    }

    /// Makes the last block. Returns how many samples there are.
    pub fn finish(mut self) -> io::Result<u64> {
        self.close()?;
        Ok(self.samples)
    }

    fn text(&self) -> PathBuf {
        self.scratch.path().join("samples.txt")
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some((_, mut writer)) = self.part.take() {
            writer.write_all(b"# EOF\n")?;
            writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            promtool_create_blocks(&self.text(), &self.data, PART_MS);
        }
        Ok(())
    }
}

/// The samples of a page of `/metrics`, with the labels that a scrape gives them.
pub fn scraped(page: &str, job: &str, instance: &str) -> Vec<String> {
    let own = format!("job=\"{job}\",instance=\"{instance}\"");
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .filter_map(|line| match line.split_once('{') {
            Some((name, rest)) => Some(format!("{name}{{{own},{rest}")),
            None => line.split_once(' ').map(|(name, value)| format!("{name}{{{own}}} {value}")),
        })
        .collect()
}
