//! Time zones by their IANA names, from the system's compiled data.
//!
//! The date library could search the system itself; it is asked for one file at a time instead, which is all that a
//! budget needs and leaves its database out of the program.

use std::io::Read;
use std::path::Path;

use jiff::tz::TimeZone;

/// Where systems keep compiled zones, the most usual place first.
const FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];
/// Largest file of a zone that is read, in bytes; the largest there is has four thousand.
const MAX_BYTES: u64 = 1 << 18;

/// Returns the zone of a name, such as `Europe/Berlin`; `UTC` needs no data of the system.
pub(super) fn time_zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    if !is_zone_name(name) {
        return None;
    }
    let data = FOLDERS.iter().find_map(|folder| read(&Path::new(folder).join(name)))?;
    TimeZone::tzif(name, &data).ok()
}

/// Names are relative paths of plain words, so that none leads elsewhere.
fn is_zone_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'+' | b'-');
    name.len() <= 64 && name.split('/').all(|part| !part.is_empty() && part.bytes().all(plain))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut data = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut data).ok()?;
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_opened() {
        for name in ["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(time_zone(name).is_some(), "{name}");
        }
        for name in
            ["", "/etc/localtime", "../zoneinfo/Europe/Berlin", "Europe", "Europe/", "tzdata.zi", "Nowhere"]
        {
            assert!(time_zone(name).is_none(), "{name:?}");
        }
    }
}
