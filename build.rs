//! Leaves the tables for unwinding out of the release program: a tenth of it, and nothing reads them, since a panic
//! aborts (`panic = "abort"`) and backtraces have no names (`strip = true`). Only where the linker is rustc's own, lld, which
//! takes the script: by default on one target, by name for the image (`deploy/image/build.sh`). GNU's refuses it.
//!
//! Packs what `bundle` writes into one compressed file that the program carries: rules, runbooks and dashboards are plain
//! files of the repository, and their texts would otherwise take up several times the space.
//!
//! The archive is, for each file in the order of its path, a line with the path, a line with the length in bytes, and the bytes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, GzBuilder};

/// The folders that are packed, and the ending of the files in them.
const FOLDERS: [(&str, &str); 3] =
    [("alerts/source", "toml"), ("docs/runbooks", "md"), ("dashboards", "json")];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=release.ld");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let lld_alone = is("RUSTC_LINKER", "rust-lld");
    if is("PROFILE", "release") && (lld_alone || is("TARGET", "x86_64-unknown-linux-gnu")) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/release.ld");
        println!("cargo::rustc-link-arg-bin=openclaw-usage={script}");
        if lld_alone {
            // Rust's own musl knows them, as every one from 1.2.4 on.
            println!("cargo::rustc-link-arg-bin=openclaw-usage=-zpack-relative-relocs");
        } else if glibc().is_some_and(|version| version >= (2, 36)) {
            println!("cargo::rustc-link-arg-bin=openclaw-usage=-Wl,-z,pack-relative-relocs");
        }
    }
    let target = PathBuf::from(std::env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?).join("bundle.gz");
    let mut archive = GzBuilder::new().write(File::create(target)?, Compression::best());
    for (folder, ending) in FOLDERS {
        // Cargo takes a path that does not exist as always changed.
        if Path::new(folder).exists() {
            println!("cargo::rerun-if-changed={folder}");
            pack(folder, ending, &mut archive)?;
        }
    }
    archive.finish()?.flush()
}

/// The version of this machine's C library; the program is built for it or a newer one. `getconf` says `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn pack(folder: &str, ending: &str, archive: &mut impl Write) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let text = fs::read(&path)?;
        write!(archive, "{folder}/{name}\n{}\n", text.len())?;
        archive.write_all(&text)?;
    }
    Ok(())
}
