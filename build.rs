//! Leaves the tables for unwinding out of the release program: a tenth of it, and nothing reads them, since a panic
//! aborts (`panic = "abort"`) and backtraces have no names (`strip = true`).
//!
//! Only where rustc brings its own linker, lld, which takes the script; GNU's refuses it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=release.ld");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/release.ld");
        println!("cargo::rustc-link-arg-bin=openclaw-usage={script}");
    }
}
