//! The references for operators list what the code has, and nothing else: settings, metrics, commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use causeway::{cli::Cli, config::NodeConfig, metrics::Metrics};
use causeway_network::NetworkMetrics;
use clap::{Arg, Command, CommandFactory};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::Value;

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// The first two cells of each row of a document whose first cell is code.
fn rows(name: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(document(name)).unwrap();
    let cells = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    };
    text.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
}

/// Every leaf of the configuration with its dotted key.
fn settings(prefix: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                settings(&key, value, found);
            }
        }
        Value::Null => drop(found.insert(prefix.to_owned(), "none".to_owned())),
        value => drop(found.insert(prefix.to_owned(), value.to_string())),
    }
}

#[test]
fn the_settings_reference_lists_every_key_with_its_default() {
    let mut expected = BTreeMap::new();
    settings("", &serde_json::to_value(NodeConfig::default()).unwrap(), &mut expected);
    assert_eq!(rows("settings.md"), expected);
}

#[test]
fn the_metrics_reference_lists_every_metric_with_its_type() {
    let mut registry = Registry::default();
    Metrics::default().register(&mut registry);
    NetworkMetrics::default().register(registry.sub_registry_with_prefix("causeway"));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    // A counter is exported with the suffix that OpenMetrics gives it.
    let name = |name: &str, kind: &str| if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
    let expected: BTreeMap<String, String> = types.map(|(of, kind)| (name(of, kind), kind.to_owned())).collect();
    assert_eq!(rows("metrics.md"), expected);
}

/// The text of a help, as one line of a table.
fn line(text: impl ToString) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn argument(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect::<String>();
    let takes_value = arg.get_action().takes_values();
    let name = match arg.get_long() {
        Some(long) if takes_value => format!("--{long} {values}"),
        Some(long) => format!("--{long}"),
        None => values,
    };
    let mut help = line(arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default());
    // clap leaves out the full stop at the end of a help text.
    if !help.is_empty() && !help.ends_with('.') {
        help.push('.');
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value && !defaults.is_empty() {
        write!(help, " Default: `{}`.", defaults.join(" ")).unwrap();
    }
    if let Some(variable) = arg.get_env() {
        write!(help, " Environment: `{}`.", variable.to_string_lossy()).unwrap();
    }
    if arg.is_required_set() {
        help.push_str(" Required.");
    }
    format!("| `{name}` | {} |\n", help.trim())
}

fn command(path: &str, command: &Command, out: &mut String) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    write!(out, "\n## `{path}`\n\n{}\n", line(about)).unwrap();
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let arguments: String = command.get_arguments().filter(shown).map(argument).collect();
    if !arguments.is_empty() {
        write!(out, "\n| argument | meaning |\n|---|---|\n{arguments}").unwrap();
    }
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        self::command(&format!("{path} {}", sub.get_name()), sub, out);
    }
}

/// `docs/cli.md` is generated: `CAUSEWAY_UPDATE_DOCS=1 cargo test --release -p causeway -p causeway-unify documents` writes it.
#[test]
fn the_command_line_reference_equals_what_the_program_prints() {
    let mut text = String::from(
        "# Command line\n\nGenerated from the program by a test in `node/tests/documents.rs`, whose comment says how to write this file again. \
         Each command also has `--help`.\n",
    );
    let mut cli = Cli::command();
    cli.build();
    command("causeway", &cli, &mut text);
    if std::env::var_os("CAUSEWAY_UPDATE_DOCS").is_some() {
        fs::write(document("cli.md"), &text).unwrap();
    }
    assert_eq!(fs::read_to_string(document("cli.md")).unwrap(), text);
}

#[test]
fn no_reference_names_a_thing_twice() {
    for name in ["settings.md", "metrics.md"] {
        let text = fs::read_to_string(document(name)).unwrap();
        let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "{name}");
    }
}
