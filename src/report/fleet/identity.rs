//! Who pushes to a server, and by which labels and names that is seen there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Sample, Span};
use crate::telemetry::{catalogue, names};

/// Which labels tell who pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `job` and `instance`: Prometheus, Mimir and Thanos make these of the resource, and a scrape has them anyway.
    Prometheus,
    /// `service_name`, `service_namespace` and `service_instance_id`: VictoriaMetrics keeps the resource's attributes.
    Resource,
}

impl Identity {
    const ALL: [Self; 2] = [Self::Prometheus, Self::Resource];

    /// Returns a service's name, with its namespace and a slash in front if it has one.
    fn service(self, sample: &Sample) -> Option<String> {
        match self {
            Self::Prometheus => sample.label("job").map(ToOwned::to_owned),
            Self::Resource => {
                let name = sample.label("service_name")?;
                let space = sample.label("service_namespace").map(|space| format!("{space}/"));
                Some(space.unwrap_or_default() + name)
            }
        }
    }

    /// Returns the label that holds the gateway's name.
    #[must_use]
    pub const fn gateway(self) -> &'static str {
        match self {
            Self::Prometheus => "instance",
            Self::Resource => "service_instance_id",
        }
    }

    /// Returns the selector of a service's series; `more` are further matchers, with a comma in front.
    #[must_use]
    pub fn series(self, name: &str, service: &str, more: &str) -> String {
        let own = match (self, service.split_once('/')) {
            (Self::Prometheus, _) => format!("job={}", quoted(service)),
            (Self::Resource, None) => format!("service_name={}", quoted(service)),
            (Self::Resource, Some((space, name))) => {
                format!("service_namespace={},service_name={}", quoted(space), quoted(name))
            }
        };
        format!("{name}{{{own}{more}}}")
    }
}

/// Returns who pushes what, under its name, with the number of series of each.
#[must_use]
pub fn discovery(span: Span) -> String {
    let (tokens, info) = (names::series(&catalogue::TOKENS), names::series(&catalogue::BUILD_INFO));
    let (labels, seconds) = ("__name__, job, service_name, service_namespace", span.seconds);
    format!(
        r#"count by ({labels}) (last_over_time({{__name__=~"{tokens}|{info}|openclaw[._]tokens"}}[{seconds}s]))"#
    )
}

/// Why a service's series are not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfound {
    /// These others push the same metrics, if any do.
    Service(Vec<String>),
    /// The server names series without their units and types.
    Names,
}

/// Returns which labels the service is found by.
///
/// # Errors
/// See [`Unfound`].
pub fn identify(found: &[Sample], service: &str) -> Result<Identity, Unfound> {
    let tokens = names::series(&catalogue::TOKENS);
    let info = names::series(&catalogue::BUILD_INFO);
    let is_named = |sample: &Sample, name: &str| sample.label("__name__") == Some(name);
    let by = |name: &str| {
        let has = |identity: &Identity| {
            let mut named = found.iter().filter(|sample| is_named(sample, name));
            named.any(|sample| identity.service(sample).as_deref() == Some(service))
        };
        Identity::ALL.into_iter().find(has)
    };
    if let Some(identity) = by(&tokens) {
        return Ok(identity);
    }
    if found.iter().any(|sample| !is_named(sample, &tokens) && !is_named(sample, &info)) {
        return Err(Unfound::Names);
    }
    // A gateway without any run.
    by(&info).ok_or_else(|| {
        let names = found
            .iter()
            .filter_map(|sample| Identity::ALL.into_iter().find_map(|identity| identity.service(sample)));
        Unfound::Service(names.collect::<BTreeSet<_>>().into_iter().collect())
    })
}

/// Returns a text as a string of PromQL.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_string() {
        for (name, expected) in [
            ("openclaw-usage", r#""openclaw-usage""#),
            (r#"a"} or up{x=""#, r#""a\"} or up{x=\"""#),
            ("a\\b\nc\u{1b}", r#""a\\b\nc\u001b""#),
        ] {
            assert_eq!(quoted(name), expected);
        }
    }

    #[test]
    fn a_namespace_stands_before_the_name_or_beside_it() {
        for (identity, service, expected) in [
            (Identity::Prometheus, "ops/usage", r#"x{job="ops/usage",a="b"}"#),
            (Identity::Resource, "ops/usage", r#"x{service_namespace="ops",service_name="usage",a="b"}"#),
            (Identity::Resource, "usage", r#"x{service_name="usage",a="b"}"#),
        ] {
            assert_eq!(identity.series("x", service, r#",a="b""#), expected);
        }
    }

    #[test]
    fn the_service_is_found_by_either_pair_of_labels() {
        let sample = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Sample { labels: labels.collect(), value: 1.0 }
        };
        let named = |name: &str, labels: &[(&str, &str)]| sample(&[&[("__name__", name)], labels].concat());
        let tokens = |labels: &[(&str, &str)]| named("openclaw_tokens_total", labels);
        let pushed = tokens(&[("job", "openclaw-usage"), ("instance", "a")]);
        let kept = tokens(&[("service_name", "openclaw-usage"), ("service_instance_id", "a")]);
        let spaced = tokens(&[("service_namespace", "ops"), ("service_name", "openclaw-usage")]);
        let other = tokens(&[("job", "scraped"), ("instance", "h:1")]);
        let idle = named("openclaw_usage_build_info", &[("job", "openclaw-usage")]);
        let bare = named("openclaw_tokens", &[("job", "openclaw-usage")]);
        let dotted = named("openclaw.tokens", &[("service.name", "openclaw-usage")]);
        let others =
            |names: &[&str]| Err(Unfound::Service(names.iter().map(|name| (*name).to_owned()).collect()));
        let usage = "openclaw-usage";
        for (found, service, expected) in [
            (&[&other, &pushed][..], usage, Ok(Identity::Prometheus)),
            (&[&kept, &other], usage, Ok(Identity::Resource)),
            (&[&spaced], "ops/openclaw-usage", Ok(Identity::Resource)),
            (&[&spaced], usage, others(&["ops/openclaw-usage"])),
            (&[&other], usage, others(&["scraped"])),
            (&[], usage, others(&[])),
            (&[&pushed], "scraped", others(&[usage])),
            (&[&idle], usage, Ok(Identity::Prometheus)),
            (&[&idle, &bare], usage, Err(Unfound::Names)),
            (&[&dotted], usage, Err(Unfound::Names)),
            (&[&bare, &pushed], usage, Ok(Identity::Prometheus)),
        ] {
            let found: Vec<Sample> = found.iter().map(|sample| (*sample).clone()).collect();
            assert_eq!(identify(&found, service), expected, "{found:?}");
        }
    }
}
