//! All layers to one [`Config`], in one step.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::env::Signal;
use super::file::FileLayer;
use super::money;
use super::otlp::{EndpointTable, Receives};
use super::relay;
use super::secret::ReadFile;
use super::value::{KeepDays, MaxEvents, MaxJobs, Millis, Name, Profile, Raw, Switch, Value};
use super::{
    Config, ConfigError, EndpointConfig, Environment, EventsConfig, Explained, GatewayLog, LedgerConfig,
    LogConfig, LogFormat, LogLevel, NOWHERE, Origin, OwnTelemetryConfig, ResourceConfig, Synchronous,
    WatchMode,
};

/// Where is listened if nobody says.
pub(super) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// The values of the command line's flags; `None` where a flag was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the flag of the same name, documented in cli")]
pub struct Overrides {
    pub config: Option<String>,
    pub state_dir: Option<String>,
    pub profile: Option<String>,
    pub gateway: Option<String>,
    pub ledger: Option<String>,
    pub listen: Option<String>,
    pub watch: Option<String>,
    pub catalogue: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    pub otlp_endpoints: Vec<String>,
    pub events: Vec<String>,
    pub no_state_dir: bool,
    pub webhook_listen: Option<String>,
    pub webhook_token_file: Option<String>,
}

impl Overrides {
    pub(super) fn get(&self, key: &str) -> Option<Raw> {
        let (value, flag) = match key {
            "state_dir" => (&self.state_dir, "--state-dir"),
            "profile" => (&self.profile, "--profile"),
            "gateway" => (&self.gateway, "--gateway"),
            "ledger.path" => (&self.ledger, "--ledger"),
            "listen" => (&self.listen, "--listen"),
            "watch" => (&self.watch, "--watch"),
            "catalogue" => (&self.catalogue, "--catalogue"),
            "log.level" => (&self.log_level, "--log-level"),
            "log.format" => (&self.log_format, "--log-format"),
            "webhook.listen" => (&self.webhook_listen, "--webhook-listen"),
            "webhook.token_file" => (&self.webhook_token_file, "--webhook-token-file"),
            "no_state_dir" => {
                return self.no_state_dir.then(|| Raw::new("true", Origin::Flag("--no-state-dir")));
            }
            _ => return None,
        };
        value.as_ref().map(|text| Raw::new(text, Origin::Flag(flag)))
    }
}

/// A configuration file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// The path as it was given; relative paths in the file are relative to its directory.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

/// Everything that a configuration follows from, but for the secret files that it names.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Command line.
    pub flags: Overrides,
    /// Environment.
    pub env: Environment,
    /// Configuration file, if one was named.
    pub file: Option<FileText>,
}

/// Resolves all layers. The result depends on `inputs` and on what `read` returns for the secret files.
///
/// # Errors
/// The first thing that is wrong, in one line.
pub fn resolve(inputs: &Inputs, read: ReadFile<'_>) -> Result<Config, ConfigError> {
    let file = match &inputs.file {
        Some(file) => FileLayer::parse(&file.path, &file.text)?,
        None => FileLayer::default(),
    };
    let mut resolver = Resolver {
        inputs,
        file,
        paths: Paths::new(inputs),
        explained: Vec::new(),
        warnings: inputs.env.unknown(),
    };
    let state_dir = resolver.state_dir()?;
    let gateway = resolver.optional::<Name>("gateway", "the ledger's, else openclaw")?.map(|name| name.0);
    let listen = resolver.listen()?;
    let watch = resolver.value("watch", WatchMode::Auto)?;
    let poll_interval_ms = resolver.value("poll_interval", Millis::<50, 3_600_000>(1_000))?.0;
    let max_jobs = resolver.value("max_jobs", MaxJobs(500))?.0;
    let gateway_log = resolver.gateway_log()?;
    let catalogue = resolver.optional_path("catalogue", "none")?;
    let ledger = resolver.ledger()?;
    let log = resolver.log()?;
    let resource = resolver.resource()?;
    let otlp = resolver.otlp(read)?;
    let events = resolver.events(read)?;
    let webhook = resolver.webhook(read)?;
    let mut tables = |name: &str| resolver.file.tables.remove(name).unwrap_or_default();
    let (prices, aliases, budgets) = (tables("price"), tables("alias"), tables("budget"));
    let (relays, digests) = (tables("relay"), tables("digest"));
    let rows = &mut resolver.explained;
    let prices = money::prices(&prices, rows)?;
    let aliases = money::aliases(&aliases, rows)?;
    let billing = money::billing(&resolver.file.billing, rows)?;
    let budgets = money::budgets(&budgets, rows)?;
    let with = relay::Surroundings { env: &inputs.env, paths: &resolver.paths, read };
    let relays = relay::relays(&relays, &with, rows)?;
    let digests = relay::digests(&digests, &relays, rows)?;
    resolver.warnings.extend(relay::unknown_variables(&inputs.env, &relays));
    let own_telemetry = OwnTelemetryConfig {
        traces_endpoint: resolver.own_signal("traces endpoint", Signal::Traces)?,
        logs_endpoint: resolver.own_signal("logs endpoint", Signal::Logs)?,
    };
    Ok(Config {
        file: inputs.file.as_ref().map(|file| file.path.clone()),
        state_dir,
        gateway,
        ledger,
        listen,
        watch,
        poll_interval_ms,
        max_jobs,
        gateway_log,
        catalogue,
        resource,
        otlp,
        events,
        webhook,
        prices,
        aliases,
        billing,
        budgets,
        relays,
        digests,
        log,
        own_telemetry,
        warnings: resolver.warnings,
        explained: resolver.explained,
    })
}

/// What paths are relative to.
pub(super) struct Paths {
    home: Option<String>,
    file_dir: PathBuf,
}

impl Paths {
    fn new(inputs: &Inputs) -> Self {
        let file_dir = inputs.file.as_ref().and_then(|file| file.path.parent()).map(Path::to_owned);
        let home = inputs.env.get("HOME").map(|raw| raw.text);
        Self { home, file_dir: file_dir.unwrap_or_default() }
    }

    /// Returns the path with `~` expanded; in the file, relative to the file.
    pub(super) fn expand(&self, key: &str, raw: &Raw) -> Result<PathBuf, ConfigError> {
        expand(key, raw, self.home.as_deref().map(Path::new), &self.file_dir)
    }
}

fn expand(key: &str, raw: &Raw, home: Option<&Path>, file_dir: &Path) -> Result<PathBuf, ConfigError> {
    let text = raw.text.as_str();
    if text.is_empty() || text.contains('\0') {
        return Err(raw.invalid(key, "expected a path"));
    }
    let in_home = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(rest) = in_home {
        let home = home.ok_or_else(|| raw.invalid(key, "HOME is not set; write the path without ~"))?;
        let rest = rest.trim_start_matches('/');
        return Ok(if rest.is_empty() { home.to_owned() } else { home.join(rest) });
    }
    Ok(match raw.origin {
        Origin::File { .. } => file_dir.join(text),
        _ => PathBuf::from(text),
    })
}

pub(super) struct Resolver<'a> {
    pub(super) inputs: &'a Inputs,
    file: FileLayer,
    pub(super) paths: Paths,
    explained: Vec<Explained>,
    pub(super) warnings: Vec<String>,
}

impl Resolver<'_> {
    /// Returns what each layer says of a key, the strongest first.
    fn layers(&self, key: &str) -> [Option<Raw>; 3] {
        [self.inputs.flags.get(key), self.inputs.env.setting(key), self.file.scalars.get(key).cloned()]
    }

    pub(super) fn raw(&self, key: &str) -> Option<Raw> {
        self.layers(key).into_iter().flatten().next()
    }

    pub(super) fn note(&mut self, key: &str, value: impl Into<String>, origin: Origin) {
        self.explained.push(Explained { key: key.to_owned(), value: value.into(), origin });
    }

    pub(super) fn value<T: Value>(&mut self, key: &str, default: T) -> Result<T, ConfigError> {
        self.value_or(key, default, Origin::Default)
    }

    fn value_or<T: Value>(&mut self, key: &str, default: T, why: Origin) -> Result<T, ConfigError> {
        let (value, origin) = match self.raw(key) {
            Some(raw) => (raw.parse::<T>(key)?, raw.origin),
            None => (default, why),
        };
        self.note(key, value.show(), origin);
        Ok(value)
    }

    pub(super) fn optional<T: Value>(&mut self, key: &str, absent: &str) -> Result<Option<T>, ConfigError> {
        let raw = self.raw(key);
        let value = raw.as_ref().map(|raw| raw.parse::<T>(key)).transpose()?;
        let shown = value.as_ref().map_or_else(|| absent.to_owned(), T::show);
        self.note(key, shown, raw.map_or(Origin::Default, |raw| raw.origin));
        Ok(value)
    }

    pub(super) fn optional_path(&mut self, key: &str, absent: &str) -> Result<Option<PathBuf>, ConfigError> {
        let raw = self.raw(key);
        let path = raw.as_ref().map(|raw| self.paths.expand(key, raw)).transpose()?;
        let shown = path.as_ref().map_or_else(|| absent.to_owned(), |path| path.display().to_string());
        self.note(key, shown, raw.map_or(Origin::Default, |raw| raw.origin));
        Ok(path)
    }

    fn gateway_log(&mut self) -> Result<GatewayLog, ConfigError> {
        const KEY: &str = "gateway_log";
        let raw = self.raw(KEY);
        let log = match &raw {
            None => GatewayLog::Auto,
            Some(raw) => match raw.text.as_str() {
                "auto" => GatewayLog::Auto,
                "off" => GatewayLog::Off,
                _ => GatewayLog::At(self.paths.expand(KEY, raw)?),
            },
        };
        let shown = match &log {
            GatewayLog::Auto => "auto".to_owned(),
            GatewayLog::Off => "off".to_owned(),
            GatewayLog::At(path) => path.display().to_string(),
        };
        self.note(KEY, shown, raw.map_or(Origin::Default, |raw| raw.origin));
        Ok(log)
    }

    fn note_path(&mut self, key: &str, path: PathBuf, origin: Origin) -> PathBuf {
        self.note(key, path.display().to_string(), origin);
        path
    }

    /// A directory and a profile are two ways to say the same, so the strongest layer that says either
    /// wins. What OpenClaw itself would use is only our default.
    fn state_dir(&mut self) -> Result<PathBuf, ConfigError> {
        const KEY: &str = "state_dir";
        let home = self.openclaw_home();
        let in_home = |name: &str| match &home {
            Some((home, variable)) => Ok((home.join(name), *variable)),
            None => Err(ConfigError::NoHome { key: KEY, remedy: "--state-dir" }),
        };
        let base = home.as_ref().map(|(home, _)| home.as_path());
        if self.value("no_state_dir", Switch(false))?.0 {
            return self.nowhere();
        }
        for (dir, profile) in self.layers(KEY).into_iter().zip(self.layers("profile")) {
            let (path, origin) = match (dir, profile) {
                (Some(_), Some(profile)) => {
                    let problem =
                        "state_dir is given beside it and already says where; remove one of the two";
                    return Err(profile.invalid("profile", problem));
                }
                (Some(dir), None) => (expand(KEY, &dir, base, &self.paths.file_dir)?, dir.origin),
                (None, Some(profile)) => {
                    let Profile(name) = profile.parse("profile")?;
                    let suffix = if name == "default" { String::new() } else { format!("-{name}") };
                    (in_home(&format!(".openclaw{suffix}"))?.0, profile.origin)
                }
                (None, None) => continue,
            };
            return Ok(self.note_path(KEY, path, origin));
        }
        let (path, origin) = match self.inputs.env.get("OPENCLAW_STATE_DIR") {
            Some(dir) => (expand(KEY, &dir, base, &self.paths.file_dir)?, dir.origin),
            None => in_home(".openclaw").map(|(path, variable)| (path, Origin::DefaultFrom(variable)))?,
        };
        Ok(self.note_path(KEY, path, origin))
    }

    /// Notices of a webhook are then all there is to count.
    fn nowhere(&mut self) -> Result<PathBuf, ConfigError> {
        let Some(raw) = self.raw("no_state_dir").filter(|_| self.raw("webhook.listen").is_none()) else {
            return Ok(PathBuf::from(NOWHERE));
        };
        let problem = "without a state directory runs come by webhook alone; give webhook.listen too";
        Err(raw.conflict("no_state_dir", problem))
    }

    /// Returns the directory that OpenClaw takes for the home directory, and the variable that says so.
    fn openclaw_home(&self) -> Option<(PathBuf, &'static str)> {
        if let Some(raw) = self.inputs.env.get("OPENCLAW_HOME") {
            return self.paths.expand("OPENCLAW_HOME", &raw).ok().map(|home| (home, "OPENCLAW_HOME"));
        }
        self.paths.home.as_ref().map(|home| (PathBuf::from(home), "HOME"))
    }

    fn ledger(&mut self) -> Result<LedgerConfig, ConfigError> {
        const KEY: &str = "ledger.path";
        let (path, origin) = match self.raw(KEY) {
            Some(raw) => (self.paths.expand(KEY, &raw)?, raw.origin),
            None => self.default_ledger()?,
        };
        let path = self.note_path(KEY, path, origin);
        Ok(LedgerConfig {
            path,
            synchronous: self.value("ledger.synchronous", Synchronous::Normal)?,
            keep_days: self.value("ledger.keep", KeepDays(None))?.0,
        })
    }

    fn default_ledger(&self) -> Result<(PathBuf, Origin), ConfigError> {
        const IN_STATE: &str = "openclaw-usage/ledger.sqlite";
        if self.inputs.env.in_container() {
            let path = Path::new("/var/lib").join(IN_STATE);
            return Ok((path, Origin::DefaultFrom("OPENCLAW_USAGE_CONTAINER")));
        }
        // The XDG specification wants relative paths there ignored.
        let xdg = self.inputs.env.get("XDG_STATE_HOME").map(|raw| PathBuf::from(raw.text));
        if let Some(dir) = xdg.filter(|dir| dir.is_absolute()) {
            return Ok((dir.join(IN_STATE), Origin::DefaultFrom("XDG_STATE_HOME")));
        }
        let home = self.paths.home.as_ref();
        let home = home.ok_or(ConfigError::NoHome { key: "ledger.path", remedy: "--ledger" })?;
        Ok((Path::new(home).join(".local/state").join(IN_STATE), Origin::DefaultFrom("HOME")))
    }

    /// In a container 127.0.0.1 is nobody but the container itself.
    fn listen(&mut self) -> Result<SocketAddr, ConfigError> {
        if self.inputs.env.in_container() {
            let why = Origin::DefaultFrom("OPENCLAW_USAGE_CONTAINER");
            return self.value_or("listen", (Ipv4Addr::UNSPECIFIED, DEFAULT_LISTEN.port()).into(), why);
        }
        self.value("listen", DEFAULT_LISTEN)
    }

    fn log(&mut self) -> Result<LogConfig, ConfigError> {
        let level = self.value("log.level", LogLevel::Info)?;
        let format = if self.inputs.env.in_container() {
            let why = Origin::DefaultFrom("OPENCLAW_USAGE_CONTAINER");
            self.value_or("log.format", LogFormat::Json, why)?
        } else {
            self.value("log.format", LogFormat::Text)?
        };
        Ok(LogConfig { level, format })
    }

    fn resource(&mut self) -> Result<ResourceConfig, ConfigError> {
        let mut attributes = self.inputs.env.resource_attributes()?;
        let name = self.inputs.env.get("OTEL_SERVICE_NAME").or_else(|| attributes.remove("service.name"));
        let namespace = attributes.remove("service.namespace");
        attributes.remove("service.name");
        for ignored in attributes.into_keys() {
            let why = match ignored.as_str() {
                "service.instance.id" => "it is the gateway's name, which --gateway sets",
                _ => "any further one makes Prometheus store a target_info series; remove it",
            };
            self.warnings
                .push(format!("resource attribute {ignored} of OTEL_RESOURCE_ATTRIBUTES is not sent: {why}"));
        }
        // The environment's values take part like those of any other layer: over the file's.
        self.file.scalars.extend(name.map(|raw| ("resource.service_name", raw)));
        self.file.scalars.extend(namespace.map(|raw| ("resource.service_namespace", raw)));
        let name = self.value("resource.service_name", Name("openclaw-usage".to_owned()))?.0;
        let namespace = self.optional::<Name>("resource.service_namespace", "not sent")?;
        Ok(ResourceConfig { service_name: name, service_namespace: namespace.map(|name| name.0) })
    }

    /// Flags say which endpoints there are, else the file, else the environment. The environment's other
    /// options go with the flags' endpoints; a file's endpoint says all of its own, so that no credential
    /// reaches a receiver that it was not meant for.
    fn otlp(&mut self, read: ReadFile<'_>) -> Result<Vec<EndpointConfig>, ConfigError> {
        let Inputs { flags, env, .. } = self.inputs;
        let flags = flags.otlp_endpoints.iter().map(|url| Raw::new(url, Origin::Flag("--otlp-endpoint")));
        let mut tables: Vec<EndpointTable> = Vec::new();
        if flags.len() > 0 {
            let options = env.otlp_options(Receives::Metrics)?;
            tables.extend(flags.map(|url| options.at(url, false)));
        } else if !self.file.endpoints.is_empty() {
            tables.append(&mut self.file.endpoints);
            if let Some(raw) = env.signal_url(Signal::Metrics)? {
                self.warnings.push(format!("{} is not used: the file has [[otlp]] endpoints", raw.origin));
            }
        } else if let Some(url) = env.signal_url(Signal::Metrics)? {
            tables.push(env.otlp_options(Receives::Metrics)?.at(url, true));
        }
        let endpoints = self.endpoints(tables, &[], read)?;
        for EndpointConfig { name, .. } in endpoints.iter().filter(|endpoint| endpoint.interval_ms > 240_000)
        {
            self.warnings.push(format!("otlp.{name}.interval is over 4m: series that are silent for 5m vanish from Prometheus's answers; choose less"));
        }
        Ok(endpoints)
    }

    /// Resolves tables to endpoints, each of which has a name of its own and none of `taken`.
    fn endpoints(
        &mut self,
        tables: Vec<EndpointTable>,
        taken: &[&str],
        read: ReadFile<'_>,
    ) -> Result<Vec<EndpointConfig>, ConfigError> {
        let mut endpoints: Vec<EndpointConfig> = Vec::new();
        for table in tables {
            let endpoint = table.resolve(&self.paths, read, &mut self.explained)?;
            let known = endpoints.iter().map(|known| known.name.as_str()).chain(taken.iter().copied());
            if known.into_iter().any(|known| known == endpoint.name) {
                let table_name = table.receives.table();
                let problem = format!(
                    "two endpoints have this name; remove one or give each its own `name` in [[{table_name}]]"
                );
                let raw = Raw::new(endpoint.name, table.origin);
                return Err(raw.invalid(&format!("{table_name}.name"), problem));
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    /// `--events stdout` turns on what the file may say as well; URLs in `--events` replace the file's endpoints.
    fn events(&mut self, read: ReadFile<'_>) -> Result<EventsConfig, ConfigError> {
        const FLAG: Origin = Origin::Flag("--events");
        const STDOUT: &str = "stdout";
        let Inputs { flags, env, .. } = self.inputs;
        let (stdout, urls): (Vec<&String>, Vec<&String>) =
            flags.events.iter().partition(|sink| *sink == STDOUT);
        let stdout = if stdout.is_empty() {
            self.value("events.stdout", Switch(false))?.0
        } else {
            self.note("events.stdout", "true", FLAG);
            true
        };
        let max_events = self.value("events.max_events", MaxEvents(100_000))?.0;
        let max_age_ms = self.value("events.max_age", Millis::<60_000, 2_678_400_000>(604_800_000))?.0;
        let tables = if urls.is_empty() {
            std::mem::take(&mut self.file.event_endpoints)
        } else {
            let options = env.otlp_options(Receives::Events)?;
            urls.into_iter().map(|url| options.at(Raw::new(url, FLAG), false)).collect()
        };
        let otlp = self.endpoints(tables, &[STDOUT], read)?;
        Ok(EventsConfig { stdout, otlp, max_events, max_age_ms })
    }

    fn own_signal(&mut self, key: &str, signal: Signal) -> Result<Option<String>, ConfigError> {
        let raw = self.inputs.env.signal_url(signal)?;
        let shown = raw.as_ref().map_or_else(|| "off".to_owned(), |raw| super::otlp::mask_url(&raw.text));
        self.note(key, shown, raw.as_ref().map_or(Origin::Default, |raw| raw.origin.clone()));
        Ok(raw.map(|raw| raw.text))
    }
}
