//! What tests share. A part panics, with what it tried and what it saw, where a test could only fail.

pub mod daemon;
pub mod fixtures;
pub mod foreign;
pub mod gateway;
pub mod http;
pub mod process;
pub mod real_time;
pub mod receiver;
pub mod samples;
#[cfg(feature = "e2e")]
pub mod servers;
