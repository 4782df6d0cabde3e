//! The one integration binary: one link, one process, every test beside the others.
//!
//! | Module | What it holds the program to |
//! |---|---|
//! | `crash` | SIGKILL at every moment: no run lost, none counted twice |
//! | `report` | what a report says of recorded gateways, in every format, from either source |
//! | `export` | what programs get of recorded gateways; what shells and groff make of completions and manual pages |
//! | `events` | events on standard output: once for each run, whole, the same again after a kill |
//! | `relay` | messages and digests to services: in order, at least once, within limits; no secret is told |
//! | `webhooks` | notices that are posted: recorded ones, repeated, hostile, in floods and over kills; each run counts once |
//! | `refusals` | what cannot work ends with one clear line and the right status |
//! | `recorded` | recorded state directories: what is counted is what their records hold |
//! | `databases` | a gateway's database, through the real process: read-only, damaged, hostile, busy |
//! | `hardship` | what goes wrong while it runs: the ledger, the disk, the directories |
//! | `reload` | another configuration while it runs: every way to change it, bad ones, under load; nothing is lost |
//! | `keep` | a ledger backed up while it is written to, verified and brought back; `health` of a running daemon |
//! | `stop` | SIGTERM at the worst moments: a clean end in time, and the last totals where they can be brought |
//! | `hostile` | transcripts that nobody should have written are refused, and all else is counted |
//! | `prices` | prices of recorded gateways give what their provider billed |
//! | `price_list` | `prices` as a command; no secret of the gateway's configuration leaves it |
//! | `price_files` | files of prices that cannot be read: old prices stay in force, and the reason is told |
//! | `real_servers` | the harness itself, on real servers |
//! | `alerts` | alerts and recorded series, judged by Prometheus's own tools and servers |
//! | `incidents` | what goes wrong at a gateway makes its alert fire, in real servers, and a healthy one makes none |
//! | `dashboards` | what each dashboard asks is answered by real servers and says what the ledger says; its file is the generator's |
//! | `manifests` | the YAML for Kubernetes: schemas, hardening, the program's own flags and files; config-manager |
//! | `deploy` | flags, variables, versions and files that `deploy/` and the pages for operators name exist |
//! | `operations` | what docs/operations.md has an operator do by hand: no counter falls |
//! | `compose` | what Compose starts, started on loopback with its own configurations and command lines |
//! | `image` | the container image, run as strictly as a cluster would (feature `image`, `make image-check`) |
//! | `end_to_end` | totals in a real Prometheus and a real Collector, events in a real Loki; reports over Thanos, Mimir and VictoriaMetrics (feature `fleet`, `make fleet-check`) |
//!
//! `common` is the harness: recorded state directories, the program in a sandbox and, with the feature `e2e`, real
//! servers. Of the modules of tests, those that need a server are compiled with that feature only (`make test`).

// The attribute is always true here; it tells clippy that helpers may unwrap and print like the tests they serve.
#[cfg(test)]
mod common;

#[cfg(feature = "e2e")]
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod check;
#[cfg(feature = "e2e")]
#[cfg(test)]
mod compose;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod deploy;
#[cfg(feature = "e2e")]
#[cfg(test)]
mod end_to_end;
#[cfg(test)]
mod events;
#[cfg(test)]
mod export;
#[cfg(test)]
mod hardship;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod house;
#[cfg(feature = "image")]
#[cfg(test)]
mod image;
#[cfg(feature = "e2e")]
#[cfg(test)]
mod incidents;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod layers;
#[cfg(feature = "e2e")]
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod operations;
#[cfg(feature = "e2e")]
#[cfg(test)]
mod own_telemetry;
#[cfg(test)]
mod price_files;
#[cfg(test)]
mod price_list;
#[cfg(test)]
mod prices;
#[cfg(feature = "e2e")]
#[cfg(test)]
mod real_servers;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod report;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod webhooks;
