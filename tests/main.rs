//! The one integration binary: one link, one process, every test beside the others.
//!
//! `common` is the harness: recorded state directories and, with the feature `e2e`, real servers. Of the
//! modules of tests, those that need a server are compiled with that feature only (`make test`).

// The attribute is always true here; it tells clippy that helpers may unwrap and print like the tests they serve.
#[cfg(test)]
mod common;

#[cfg(test)]
mod check;

#[cfg(test)]
mod house;

#[cfg(test)]
mod model;

#[cfg(all(test, feature = "e2e"))]
mod real_servers;
