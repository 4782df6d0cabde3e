//! The same of servers that take minutes to build, or are not built here: `make fleet-check`.

use super::super::reconcile::differences_have_reasons;
use super::days::days;
use super::two_gateways;
use crate::common::servers::Fleet;

fn tells_what_ledgers_tell(start: fn() -> Fleet) {
    two_gateways(&start());
    days(&start());
    differences_have_reasons(start);
}

#[test]
fn thanos_with_a_sidecar() {
    tells_what_ledgers_tell(Fleet::thanos_sidecar);
}

#[test]
fn thanos_with_a_receiver() {
    tells_what_ledgers_tell(Fleet::thanos_receive);
}

#[test]
fn mimir() {
    tells_what_ledgers_tell(Fleet::mimir);
}

#[test]
fn victoria_metrics_with_labels_of_prometheus() {
    tells_what_ledgers_tell(|| Fleet::victoria_metrics("job"));
}

#[test]
fn victoria_metrics_with_labels_of_the_resource() {
    tells_what_ledgers_tell(|| Fleet::victoria_metrics("service_name"));
}
