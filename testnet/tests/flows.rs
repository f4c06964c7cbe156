//! `docs/flows.md` names a file and a function for each step of each flow, and both exist.

use std::{fs, path::Path};

/// A flow with few steps has lost some.
const FEWEST_STEPS: usize = 6;

struct Step {
    flow: String,
    file: String,
    function: String,
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows `| step | file | function |` below each heading.
fn steps() -> Vec<Step> {
    let mut flow = String::new();
    let mut steps = Vec::new();
    for line in read("docs/flows.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            flow = heading.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        if let [_, _, file, function, _] = cells[..]
            && file.contains('/')
        {
            steps.push(Step { flow: flow.clone(), file: file.to_owned(), function: function.to_owned() });
        }
    }
    steps
}

/// The names in bold of the list below "Flows" in ARCHITECTURE.md.
fn flows() -> Vec<String> {
    let text = read("ARCHITECTURE.md");
    let section = text.split("## Flows").nth(1).unwrap().split("\n## ").next().unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix("- **"));
    items.map(|item| item.split('.').next().unwrap().to_owned()).collect()
}

fn defines(text: &str, function: &str) -> bool {
    ["fn ", "function "].iter().any(|keyword| {
        let definition = format!("{keyword}{function}");
        text.match_indices(&definition).any(|(at, found)| text[at + found.len()..].starts_with(['(', '<']))
    })
}

#[test]
fn each_flow_of_the_architecture_has_its_steps() {
    let (flows, steps) = (flows(), steps());
    assert_eq!(flows.len(), 6, "{flows:?}");
    for flow in &flows {
        let count = steps.iter().filter(|step| step.flow == *flow).count();
        assert!(count >= FEWEST_STEPS, "{flow} has {count} steps");
    }
    assert!(steps.iter().all(|step| flows.contains(&step.flow)), "a table without a flow");
}

#[test]
fn each_step_of_a_flow_names_a_function_that_its_file_defines() {
    for Step { flow, file, function } in steps() {
        assert!(defines(&read(&file), &function), "{flow}: {file} does not define {function}");
    }
}

#[test]
fn a_longer_name_and_a_call_are_no_definition() {
    assert!(defines("fn act<S>() {}", "act") && defines("function act(", "act"));
    assert!(!defines("fn action() {}", "act") && !defines("self.act()", "act"));
}
