//! What tests share. A part panics, with what it tried and what it saw, where a test could only fail.

pub mod fixtures;
#[cfg(feature = "e2e")]
pub mod http;
#[cfg(feature = "e2e")]
pub mod process;
#[cfg(feature = "e2e")]
pub mod real_time;
#[cfg(feature = "e2e")]
pub mod servers;
