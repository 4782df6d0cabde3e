//! What `deploy/`, the Dockerfile and the pages about running it name exists: flags, variables, versions, files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use openclaw_usage::cli;
use openclaw_usage::config::{self, Environment, Overrides};

/// Pages with command lines for operators.
const PAGES: [&str; 3] = ["README.md", "docs/install-systemd.md", "docs/operations.md"];

pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// The commands of the services of a Compose file, which are written as JSON on one line each.
pub fn commands(file: &str) -> BTreeMap<String, Vec<String>> {
    let mut commands = BTreeMap::new();
    let mut service = String::new();
    for line in read(file).lines() {
        let inside = line.trim_start();
        match line.len() - inside.len() {
            2 => service = inside.trim_end_matches(':').to_owned(),
            4 => {
                if let Some(list) = inside.strip_prefix("command: ") {
                    let list = serde_json::from_str(list).unwrap_or_else(|error| panic!("{line}: {error}"));
                    commands.insert(service.clone(), list);
                }
            }
            _ => {}
        }
    }
    commands
}

/// The program takes these arguments.
fn assert_understood(place: &str, arguments: &[String]) {
    let line = std::iter::once("openclaw-usage").chain(arguments.iter().map(String::as_str));
    if let Err(error) = cli::parse(line) {
        assert_eq!(cli::exit_status(&error), 0, "{place}: {arguments:?}: {error}");
    }
}

#[test]
fn command_lines_are_understood() {
    for file in ["deploy/compose/compose.yaml", "deploy/compose/gateway.yaml"] {
        assert_understood(file, &commands(file)["openclaw-usage"]);
    }
    let unit = read("deploy/systemd/openclaw-usage@.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/openclaw-usage "));
    let words = start.expect("a command").split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_understood("the unit", &words);
    let plist = read("deploy/launchd/openclaw-usage.plist");
    let (_, arguments) = plist.split_once("<key>ProgramArguments</key>").expect("arguments");
    let (arguments, _) = arguments.split_once("</array>").expect("the end of the list");
    let words: Vec<String> = arguments
        .split("<string>")
        .skip(1)
        .map(|item| item[..item.find('<').expect("an end")].to_owned())
        .collect();
    assert!(words[0].ends_with("/openclaw-usage"));
    assert_understood("the plist", &words[1..]);
    let dockerfile = read("Dockerfile");
    let run = |line: &&str| line.starts_with("CMD [") || line.starts_with("HEALTHCHECK ");
    for line in dockerfile.lines().filter(run) {
        let list = &line[line.find('[').expect("a list")..];
        let mut words: Vec<String> = serde_json::from_str(list).expect("a list as JSON");
        words.retain(|word| word != "/usr/bin/openclaw-usage");
        assert_understood("the Dockerfile", &words);
    }
}

/// Lines of code blocks that run the program, as far as the shell's own signs.
#[test]
fn pages_show_command_lines_that_are_understood() {
    for page in PAGES {
        let text = read(page);
        let mut shown = 0;
        for line in text.split("```").skip(1).step_by(2).flat_map(str::lines) {
            let line = line.trim_start_matches(['$', '#', ' ']);
            let words: Vec<&str> = line.split_whitespace().collect();
            // Behind `sudo -u USER`, `env X=Y` and the like.
            let Some(at) = words.iter().position(|word| word.rsplit('/').next() == Some("openclaw-usage"))
            else {
                continue;
            };
            let before = words[..at].iter().all(|word| ["sudo", "-u", "openclaw"].contains(word));
            let signs = ["|", "#", ">", ">>", "&&", "<", "\\"];
            let arguments = words[at + 1..].iter().take_while(|word| !signs.contains(*word));
            if before {
                shown += 1;
                let unquoted = |word: &&str| word.trim_matches(['\'', '"']).to_owned();
                assert_understood(page, &arguments.map(unquoted).collect::<Vec<_>>());
            }
        }
        assert!(shown > 0, "{page} shows command lines");
    }
}

/// Variables that are set for the program are known to it.
#[test]
fn variables_are_known() {
    let mut names = Vec::new();
    for file in [
        "Dockerfile",
        "deploy/systemd/openclaw-usage@.service",
        "docs/install-systemd.md",
        "docs/operations.md",
    ] {
        for word in read(file).split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            if word.starts_with("OPENCLAW_USAGE_") && !names.contains(&word.to_owned()) {
                names.push(word.to_owned());
            }
        }
    }
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        // What a value must be is told of a value; that there is no such variable, in a warning.
        let environment: Environment = [("HOME", "/h"), (name.as_str(), "x")].into_iter().collect();
        let config = config::load(&Overrides::default(), &environment);
        let warnings = config.map(|config| config.warnings).unwrap_or_default();
        assert_eq!(warnings, [""; 0], "{name}");
    }
}

#[test]
fn versions_agree() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    let least = manifest["package"]["rust-version"].as_str().expect("a version");
    assert!(channel.starts_with(&format!("{least}.")), "{channel} and {least}");
    let dockerfile = read("Dockerfile");
    for line in [
        format!("FROM --platform=$BUILDPLATFORM docker.io/library/rust:{channel}-slim-trixie AS build"),
        format!("ENV RUSTUP_TOOLCHAIN={channel}"),
        format!("ARG VERSION={}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(dockerfile.lines().any(|known| known == line), "the Dockerfile has no line {line:?}");
    }
    // What is started together is what the tests run against.
    let compose = read("deploy/compose/compose.yaml");
    let pin = |server: &str, module: &str| {
        let pins = read(&format!("tests/servers/{server}/go.mod"));
        let line = pins.lines().find_map(|line| line.split_once(module)).expect(module);
        line.1.split_whitespace().next().expect("a version").trim_start_matches('v').to_owned()
    };
    let prometheus = pin("prometheus", "github.com/prometheus/prometheus ");
    let (_, minor) = prometheus.split_once('.').expect("0.NMM.P");
    let image = format!("prom/prometheus:v{}.{}", &minor[..1], &minor[1..]);
    assert!(compose.contains(&format!("{image}\n")), "{image}");
    let image = format!("grafana/loki:{}\n", pin("loki", "github.com/grafana/loki/v3 "));
    assert!(compose.contains(&image), "{image}");
}

/// Nothing that the program is compiled from is kept from the image's build.
#[test]
fn the_image_is_built_from_everything_that_build_rs_packs() {
    let ignore = read(".dockerignore");
    let build = read("build.rs");
    let folders = build.split_once("const FOLDERS").expect("its folders").1;
    for folder in folders.split(';').nth(1).expect("a list").split('"').skip(1).step_by(4) {
        let taken =
            ignore.lines().any(|line| line.strip_prefix('!').is_some_and(|line| line.starts_with(folder)));
        assert!(taken, ".dockerignore leaves {folder} out");
    }
    for line in ignore.lines().filter_map(|line| line.strip_prefix('!')).filter(|line| !line.contains('*')) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(line);
        assert!(path.exists(), "{line} of .dockerignore is not there");
    }
}

/// Files that Compose mounts from the repository are in it.
#[test]
fn compose_mounts_what_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose");
    let compose = read("deploy/compose/compose.yaml");
    let mounts = compose.lines().filter_map(|line| line.trim_start().strip_prefix("- ."));
    let mounts: Vec<String> =
        mounts.map(|line| format!(".{}", line.split(':').next().expect("a path"))).collect();
    assert!(mounts.len() >= 6, "{mounts:?}");
    for mount in mounts {
        assert!(folder.join(&mount).exists(), "{mount}");
    }
}
