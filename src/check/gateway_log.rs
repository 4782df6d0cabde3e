//! The gateway's own log: which file is read, and what to do if it cannot be seen from here.

use std::path::Path;

use super::page::many;
use super::report::{Finding, Section};
use crate::config::{Config, GatewayLog};
use crate::openclaw::Layout;
use crate::openclaw::gateway_log::Place;
use crate::serve::gateway_log_place;
use crate::tail::open_regular;

const HERE: Section = Section::StateDirectory;
const LOST: &str = "interrupted runs, jobs that the scheduler switched off and, of OpenClaw before 2026.8.1, webhooks that \
                    failed are told nowhere else";

/// Looks for the log.
pub fn inspect(config: &Config, home: Option<&Path>) -> Option<Finding> {
    let (layout, _) = Layout::read(&config.state_dir, home);
    let place = gateway_log_place(&config.gateway_log, layout.log_file.as_deref(), &config.state_dir)?;
    let shown = place.shown();
    let shown = shown.display();
    let files = match place.files(true) {
        Ok(files) => files,
        Err(error) => {
            let text = format!("cannot look for the gateway's log {shown}: {error}");
            return Some(
                Finding::note(HERE, text).with("give this user read and search access to its directory"),
            );
        }
    };
    let Some(newest) = files.last() else { return Some(absent(config, &layout, &place)) };
    let path = place.dir().join(&newest.name);
    Some(match open_regular(place.dir(), Path::new(&newest.name)) {
        Ok(_) => {
            let files = many(files.len() as u64, "file");
            Finding::ok(HERE, format!("the gateway's log is read: {} ({files})", path.display()))
        }
        Err(error) => Finding::note(HERE, format!("the gateway's log is not read: {error}"))
            .with("give this user read access, or say where it is with gateway_log in the file of --config"),
    })
}

fn absent(config: &Config, layout: &Layout, place: &Place) -> Finding {
    let shown = place.shown();
    let text = format!("there is no gateway log at {}: {LOST}", shown.display());
    let is_default = config.gateway_log == GatewayLog::Auto && layout.log_file.is_none();
    let remedy = if is_default {
        let file = config.state_dir.join("logs").join("openclaw.log");
        let file = serde_json::to_string(&file.display().to_string()).unwrap_or_default();
        format!(
            "if the gateway runs elsewhere, its temporary directory is not to be seen from here; have it log into its \
             state directory by this line in openclaw.json, with the path as the gateway sees it: \"logging\": {{ \
             \"file\": {file} }}"
        )
    } else {
        "see whether the gateway runs and the path is the same here; gateway_log in the file of --config says where it is"
            .to_owned()
    };
    Finding::note(HERE, text).with(remedy)
}
