//! Under which names and labels a Prometheus with default settings stores what is pushed to it.

use super::report::{Family, Names};
use crate::config::Config;
use crate::telemetry::Resource;
use crate::telemetry::catalogue::{self, Kind, Metric};
use crate::telemetry::names::series;

/// Returns what identifies the sender, as `serve` sends it.
pub fn resource(config: &Config, gateway: &str) -> Resource {
    Resource {
        service_name: config.resource.service_name.clone(),
        service_namespace: config.resource.service_namespace.clone(),
        service_instance_id: gateway.to_owned(),
    }
}

/// Returns the names of the whole catalogue.
pub fn of(resource: &Resource) -> Names {
    let name = &resource.service_name;
    Names {
        job: resource
            .service_namespace
            .as_ref()
            .map_or_else(|| name.clone(), |space| format!("{space}/{name}")),
        instance: resource.service_instance_id.clone(),
        families: catalogue::ALL.iter().map(|metric| family(metric)).collect(),
    }
}

fn family(metric: &Metric) -> Family {
    let base = series(metric);
    let (kind, series) = match metric.kind {
        Kind::Sum => ("counter", vec![base]),
        Kind::Gauge => ("gauge", vec![base]),
        Kind::Histogram => {
            ("histogram", ["_bucket", "_sum", "_count"].map(|suffix| format!("{base}{suffix}")).to_vec())
        }
    };
    Family { name: metric.name.to_owned(), kind: kind.to_owned(), series }
}
