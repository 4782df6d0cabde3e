//! What the names in an agent's `sessions/` directory are.
//!
//! Source: the published packages of 2026.2.17 to 2026.9.6. A session that is reset, deleted or compacted by hand has
//! its file renamed with a suffix `.reset.`, `.deleted.` or `.bak.` and a time; from 2026.8.1 archives may be compressed
//! (`.zst`). What a database imported moves to another directory, `session-sqlite-import-archive/`, which holds nothing
//! but copies.

use std::ffi::OsStr;

/// What a file in `agents/<agent>/sessions/` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A transcript that may still grow.
    Transcript,
    /// A transcript that was set aside and does not change any more; its calls are as billed as any.
    Archive {
        /// It is compressed with zstd.
        compressed: bool,
    },
    /// What a run did, without usage; its first line names the session and its key.
    Trajectory,
    /// `sessions.json`: the keys of the sessions.
    Index,
    /// Locks, temporary files, copies made before a compaction, pointers.
    Other,
}

/// Returns what a name is.
#[must_use]
pub fn classify(name: &OsStr) -> Name {
    let Some(name) = name.to_str() else { return Name::Other };
    if name == "sessions.json" {
        return Name::Index;
    }
    let (plain, compressed) = name.strip_suffix(".zst").map_or((name, false), |plain| (plain, true));
    let (stem, archived) = match plain.strip_suffix(".jsonl") {
        Some(stem) if !compressed => (stem, false),
        Some(_) => return Name::Other,
        None => match archived_stem(plain) {
            Some(stem) => (stem, true),
            None => return Name::Other,
        },
    };
    if stem.is_empty() || stem.starts_with('.') || is_checkpoint(stem) {
        return Name::Other;
    }
    match (stem.ends_with(".trajectory"), archived) {
        (true, false) => Name::Trajectory,
        (true, true) => Name::Other,
        (false, false) => Name::Transcript,
        (false, true) => Name::Archive { compressed },
    }
}

/// Returns what stands before `.jsonl.deleted.2026-11-21T04-52-22.733Z` and the like.
fn archived_stem(name: &str) -> Option<&str> {
    [".jsonl.deleted.", ".jsonl.reset.", ".jsonl.bak."].iter().find_map(|marker| {
        let (stem, time) = name.rsplit_once(marker)?;
        is_archive_time(time).then_some(stem)
    })
}

fn is_archive_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    matches!(shape.as_str(), "0000-00-00T00-00-00.000Z" | "0000-00-00T00-00-00Z")
}

/// `<session>.checkpoint.<uuid>`: a copy of the session as it was before a compaction.
fn is_checkpoint(stem: &str) -> bool {
    stem.rsplit_once(".checkpoint.").is_some_and(|(_, id)| {
        id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_are_told_from_copies() {
        let archive = |compressed| Name::Archive { compressed };
        for (name, expected) in [
            ("031017d6-b5ad-47b9-8933-3b6a6ea50bea.jsonl", Name::Transcript),
            ("2026-11-21T04-52-22-733Z_031017d6-b5ad-47b9-8933-3b6a6ea50bea.jsonl", Name::Transcript),
            ("a.jsonl.deleted.2026-11-21T04-52-22.733Z", archive(false)),
            ("a.jsonl.reset.2026-11-21T04-52-22Z", archive(false)),
            ("a.jsonl.bak.2026-11-21T04-52-22.733Z", archive(false)),
            ("a.jsonl.deleted.2026-11-21T04-52-22.733Z.zst", archive(true)),
            ("a.trajectory.jsonl", Name::Trajectory),
            ("sessions.json", Name::Index),
            ("a.trajectory.jsonl.deleted.2026-11-21T04-52-22.733Z", Name::Other),
            ("a.checkpoint.031017d6-b5ad-47b9-8933-3b6a6ea50bea.jsonl", Name::Other),
            ("a.trajectory-path.json", Name::Other),
            ("agent_main_cron_x.a.jsonl.imported-1795237084333", Name::Other),
            ("a.jsonl.compact.031017d6-b5ad-47b9-8933-3b6a6ea50bea.tmp", Name::Other),
            ("a.jsonl.lock", Name::Other),
            ("a.jsonl.zst", Name::Other),
            ("a.jsonl.deleted.yesterday", Name::Other),
            ("sessions.json.bak.1795237084333", Name::Other),
            (".jsonl", Name::Other),
        ] {
            assert_eq!(classify(OsStr::new(name)), expected, "{name}");
        }
    }
}
