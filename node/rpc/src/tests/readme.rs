//! The README lists every method with its parameters, every subscription, and only limits that exist.

use std::collections::{BTreeMap, BTreeSet};

use jsonrpsee::server::Methods;
use serde_json::{Value, json};

use super::fixture::*;
use crate::RpcLimits;

const README: &str = include_str!("../../README.md");

/// The cells of the rows of all tables whose header begins with `first_column`.
fn rows(first_column: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut is_wanted = false;
    let mut previous = "";
    for line in README.lines() {
        let escaped = line.replace("\\|", "\u{0}");
        let cells: Vec<String> =
            escaped.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect();
        match (line.starts_with('|'), line.starts_with("|-")) {
            (false, _) => is_wanted = false,
            (true, true) => is_wanted = previous.starts_with(&format!("| {first_column} |")),
            (true, false) if is_wanted => rows.push(cells),
            (true, false) => {}
        }
        previous = line;
    }
    assert!(!rows.is_empty(), "no table of {first_column}");
    rows
}

fn unquoted(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

async fn message(methods: &Methods, method: &str, params: &Value) -> String {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let (answer, _) = methods.raw_json_request(&request, 1).await.unwrap();
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    answer["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_readme_lists_exactly_the_registered_methods() {
    let f = Fixture::standalone().await;
    let listed: Vec<_> = rows("method").iter().map(|row| unquoted(&row[0])).collect();
    let unique: BTreeSet<_> = listed.iter().map(String::as_str).collect();
    assert_eq!(listed.len(), unique.len(), "a method is listed twice");
    let methods = f.module();
    let registered: BTreeSet<_> = methods.method_names().collect();
    assert_eq!(unique, registered);
}

#[tokio::test]
async fn the_readme_lists_the_number_of_parameters_of_each_method() {
    let f = Fixture::standalone().await;
    let methods = f.module();
    let listed: BTreeMap<_, _> = rows("method")
        .iter()
        .map(|row| {
            let count = if row[1] == "-" { 0 } else { unquoted(&row[1]).split(", ").count() };
            (unquoted(&row[0]), count)
        })
        .collect();
    for (method, count) in listed {
        // The library itself answers eth_unsubscribe.
        if method != "eth_unsubscribe" {
            let message = message(&methods, &method, &Value::Array(vec![Value::Null; 20])).await;
            assert_eq!(message, format!("too many arguments, want at most {count}"), "{method}");
        }
    }
}

#[tokio::test]
async fn the_readme_lists_exactly_the_topics_of_subscriptions() {
    let f = Fixture::standalone().await;
    let listed: BTreeSet<_> = rows("topic").iter().map(|row| unquoted(&row[0])).collect();
    // The error names every topic: "unknown variant `x`, expected one of `newHeads`, `logs`, ...".
    let message = message(&f.module(), "eth_subscribe", &json!(["x"])).await;
    let (_, expected) = message.split_once("expected one of ").unwrap();
    let known: BTreeSet<_> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_readme_names_only_limits_that_exist() {
    let limits = serde_json::to_value(RpcLimits::default()).unwrap();
    let mut found = 0;
    for row in rows("method") {
        for name in row[3].split('`').skip(1).step_by(2) {
            assert!(limits.get(name).is_some(), "{}: {name}", row[0]);
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}
