//! A server that is asked about a fleet.
//!
//! Every question about one window is asked for the same moment. Invariant: neither headers nor the query string of the
//! URL appear in an error.

use std::collections::BTreeSet;

use super::{CommandError, Environment};
use crate::cli::ReportArgs;
use crate::config::{Config, QueryFlags, query_endpoint, read_small_file};
use crate::export::{ANSWER_MAX, NetworkError, QueryClient, SetupError, TlsFiles, TlsProblem};
use crate::ledger::Window;
use crate::page::number;
use crate::report::{
    Family, Gathering, Identity, Query, Refusal, Report, Sample, Span, Unfound, discovery, fallen,
    fleet_report, identify, pieces, questions, read_answer, seen_late,
};

/// As long as a server itself works at a query, by default.
const TIMEOUT_MS: u64 = 120_000;

/// What to do about a server that does not name series as Prometheus does.
const OTHER_NAMES: &str = " It has them under names without units and types: set otel_metric_suffixes_enabled in Mimir, \
                           -opentelemetry.usePrometheusNaming in VictoriaMetrics, or the translation_strategy \
                           UnderscoreEscapingWithSuffixes in Prometheus";

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The client cannot be made.
    #[error("cannot ask {server}: {problem}")]
    Setup {
        /// The server, as a person may see it.
        server: String,
        /// What is wrong.
        problem: SetupError,
    },
    /// No answer came.
    #[error("cannot ask {server} for {what}: {problem}; {remedy}")]
    Network {
        /// The server.
        server: String,
        /// What was asked for.
        what: &'static str,
        /// What went wrong.
        problem: NetworkError,
        /// What to do.
        remedy: &'static str,
    },
    /// It answered something else.
    #[error("asked {server} for {what}: {problem}")]
    Refused {
        /// The server.
        server: String,
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        problem: Refusal,
    },
    /// Nobody pushes there.
    #[error(
        "{server} has no series openclaw_tokens_total of job={service:?} in the window; is the daemon pushing there?{others}"
    )]
    Nothing {
        /// The server.
        server: String,
        /// The service that was looked for.
        service: String,
        /// Which others there are.
        others: String,
    },
}

/// A server with Prometheus's API.
pub struct Server {
    client: QueryClient,
    /// As a person may see it.
    shown: String,
    /// What the label `job` is looked for with.
    service: String,
    warnings: BTreeSet<String>,
}

impl Server {
    /// Prepares to ask; nothing is sent yet. `url` is that of `--prometheus`.
    pub fn new(url: &str, args: &ReportArgs, config: &Config) -> Result<Self, CommandError> {
        let flags = QueryFlags {
            url,
            header_file: args.header_file.as_deref(),
            ca_file: args.ca_file.as_deref(),
            client_cert_file: args.client_cert_file.as_deref(),
            client_key_file: args.client_key_file.as_deref(),
        };
        let endpoint = query_endpoint(&flags, &read_small_file)?;
        let resource = &config.resource;
        let service = args.service_name.clone().unwrap_or_else(|| match &resource.service_namespace {
            Some(namespace) => format!("{namespace}/{}", resource.service_name),
            None => resource.service_name.clone(),
        });
        let tls = TlsFiles {
            ca_file: endpoint.ca_file,
            client_cert_file: endpoint.client_cert_file,
            client_key_file: endpoint.client_key_file,
        };
        let client = QueryClient::new(&endpoint.url, endpoint.headers.iter(), TIMEOUT_MS, &tls)
            .map_err(|problem| ServerError::Setup { server: endpoint.shown.clone(), problem })?;
        Ok(Self { client, shown: endpoint.shown, service, warnings: BTreeSet::new() })
    }

    /// Returns what the reader of a report is told about it.
    pub fn name(&self) -> String {
        format!("out of {}", self.shown)
    }

    /// Returns its URL as a person may see it.
    pub fn address(&self) -> String {
        self.shown.clone()
    }

    /// Evaluates an expression at a time in seconds since 1970.
    pub async fn ask(
        &mut self,
        what: &'static str,
        promql: &str,
        at_s: i64,
    ) -> Result<Vec<Sample>, ServerError> {
        let server = || self.shown.clone();
        // VictoriaMetrics answers for half a minute ago unless told to look at what is there; others ignore it.
        let parameters = [("query", promql), ("time", &at_s.to_string()), ("nocache", "1")];
        let answer = self.client.ask(&parameters).await.map_err(|problem| {
            let remedy = remedy(&problem);
            ServerError::Network { server: server(), what, problem, remedy }
        })?;
        let answer = read_answer(answer.status, &answer.body, ANSWER_MAX)
            .map_err(|problem| ServerError::Refused { server: server(), what, problem })?;
        self.warnings.extend(answer.warnings);
        Ok(answer.samples)
    }

    /// Returns by which labels the service is found there.
    pub async fn identify(&mut self, span: Span) -> Result<Identity, ServerError> {
        let found = self.ask("gateways", &discovery(span), span.until_s).await?;
        identify(&found, &self.service).map_err(|unfound| {
            let others = match unfound {
                Unfound::Names => OTHER_NAMES.to_owned(),
                Unfound::Service(others) if others.is_empty() => String::new(),
                Unfound::Service(others) => {
                    let named: Vec<String> = others.iter().map(|name| format!("{name:?}")).collect();
                    format!(" There are series of {}: name one with --service-name", named.join(", "))
                }
            };
            ServerError::Nothing { server: self.shown.clone(), service: self.service.clone(), others }
        })
    }

    /// Returns what it wanted known so far, and forgets it.
    pub fn warnings(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Returns the name of the service, which is the label `job`.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Returns the answer to a question about a fleet.
    pub async fn report(
        &mut self,
        query: &Query,
        environment: &Environment<'_>,
    ) -> Result<Report, CommandError> {
        let now = environment.clock.now();
        // Days that are to come need not be asked about.
        let end = |window: Window| Window { until: window.until.min(now.plus(999)), ..window };
        let window = end(query.window);
        let all = pieces(&query.by, &query.zone, window)?;
        let Some(span) = Span::of(window) else {
            let nothing = Gathering::new(query, Identity::Prometheus);
            return Ok(fleet_report(nothing, None, Vec::new()));
        };
        let identity = self.identify(span).await?;
        let gathering = self.gather(query, identity, &all).await?;
        let previous = if query.compare {
            let length = query.window.until.since(query.window.since);
            let before = Window { since: query.window.since.plus(-length), until: query.window.since };
            Some(self.gather(query, identity, &[(before, Vec::new())]).await?)
        } else {
            None
        };
        let notes = self.notes(identity, span).await?;
        Ok(fleet_report(gathering, previous, notes))
    }

    async fn gather<'a>(
        &mut self,
        query: &'a Query,
        identity: Identity,
        pieces: &[(Window, Vec<String>)],
    ) -> Result<Gathering<'a>, ServerError> {
        let mut gathering = Gathering::new(query, identity);
        for (piece, periods) in pieces {
            let Some(span) = Span::of(*piece) else { continue };
            for question in questions(identity, &self.service, span, &query.by, &query.selection) {
                let what = Family::what(question.family);
                let samples = self.ask(what, &question.promql, span.until_s).await?;
                gathering.add(question.family, &samples, *piece, periods);
            }
        }
        Ok(gathering)
    }

    /// Asks for what the numbers of this window leave out.
    async fn notes(&mut self, identity: Identity, span: Span) -> Result<Vec<String>, ServerError> {
        let mut notes = Vec::new();
        let promql = seen_late(identity, &self.service, span);
        let late = self.ask("first samples", &promql, span.until_s).await?;
        for (gateway, tokens) in by_gateway(&late, identity) {
            notes.push(format!(
                "Of {gateway} {} tokens were already counted when the server first saw their series: history from \
                 before it was pushed there, or jobs that ran after a week of rest. They are not in these numbers.",
                number(tokens)
            ));
        }
        let promql = fallen(identity, &self.service, span);
        let fell = self.ask("counters that fell", &promql, span.until_s).await?;
        for (gateway, _) in by_gateway(&fell, identity) {
            notes.push(format!(
                "Counters of {gateway} fell in the window, as after the loss of a ledger, or where two gateways have \
                 one name: what they held before that is not in these numbers."
            ));
        }
        notes.extend(self.warnings().into_iter().map(|warning| format!("The server warns: {warning}.")));
        Ok(notes)
    }
}

fn by_gateway(samples: &[Sample], identity: Identity) -> Vec<(String, u64)> {
    let named = samples.iter().map(|sample| {
        let gateway = sample.label(identity.gateway()).unwrap_or("(unknown)").to_owned();
        (gateway, crate::report::whole_count(sample.value))
    });
    let mut named: Vec<(String, u64)> = named.collect();
    named.sort();
    named
}

/// Returns what to do about it.
const fn remedy(problem: &NetworkError) -> &'static str {
    match problem {
        NetworkError::Refused { .. } | NetworkError::Unreachable { .. } => {
            "check that it runs, and host and port of --prometheus"
        }
        NetworkError::Timeout { .. } => {
            "ask for a shorter window, or check the server's load and what lies between"
        }
        NetworkError::Broken { .. } => "check http or https in --prometheus, and the server's own log",
        NetworkError::Tls { problem, .. } => match problem {
            TlsProblem::UnknownAuthority => {
                "name the PEM file of the authority that issued its certificate with --ca-file"
            }
            TlsProblem::WrongName => "use a name in --prometheus that its certificate holds",
            TlsProblem::Expired => "renew its certificate, or correct this machine's clock",
            TlsProblem::ClientCertificate => {
                "give --client-cert-file and --client-key-file of a certificate that it trusts"
            }
            TlsProblem::NotTls => "use http:// in --prometheus: it speaks plain text there",
            TlsProblem::Other => "read the text: it is the TLS library's",
        },
    }
}
