//! One entry of the genesis file's `rules` list: from which height on which figures change.

use borsh::io::{Result as IoResult, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Rules;
use crate::validity::SpecFault;

/// Figures that change at a height. The keys beside `height` and `version` are those of [`Rules`], as deep as needed:
/// `{"height": 100, "version": 1, "modules": {"prices": {"leaf": 300}}}`.
///
/// The figures are kept as they were written. So an entry of a version that this build does not know is no error, is written back
/// unchanged, and is part of the genesis hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesEntry {
    /// First block under the changed figures; 0 changes the rules that the chain starts with.
    pub height: u64,
    /// The vocabulary that a node must know to follow the chain from here on.
    pub version: u64,
    /// The changes.
    #[serde(flatten)]
    pub changes: Map<String, Value>,
}

impl RulesEntry {
    /// The rules that follow `before`.
    ///
    /// # Errors
    /// [`SpecFault`] when a key or a value is none of this build's vocabulary, or nothing changes.
    pub(super) fn applied_to(&self, before: &Rules) -> Result<Rules, SpecFault> {
        let mut figures = serde_json::to_value(before).expect("rules have only string keys, so they always serialise");
        if let Value::Object(figures) = &mut figures {
            merge(figures, &self.changes, "").map_err(|at| SpecFault::UnknownFigure { height: self.height, at })?;
        }
        let after: Rules = serde_path_to_error::deserialize(&figures).map_err(|error| SpecFault::Figure {
            height: self.height,
            at: error.path().to_string(),
            reason: error.into_inner().to_string(),
        })?;
        let after = Rules { version: before.version, ..after };
        if after == *before {
            return Err(SpecFault::NothingChanges(self.height));
        }
        Ok(Rules { version: self.version, ..after })
    }

    /// Path of each figure that the entry names.
    pub(super) fn named(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(&self.changes, "", &mut paths);
        paths
    }

    /// The entry as the genesis hash takes it: JSON with sorted keys and without spaces.
    fn canonical(&self) -> String {
        let mut fields = self.changes.clone();
        fields.insert("height".into(), self.height.into());
        fields.insert("version".into(), self.version.into());
        let mut out = String::new();
        write_sorted(&Value::Object(fields), &mut out);
        out
    }

    /// Whether a number in it is no integer of 64 bits: JSON leaves open how such a number is written.
    pub(super) fn has_odd_number(&self) -> bool {
        self.changes.values().any(is_odd)
    }
}

/// What the genesis hash commits to of a list of entries: the canonical JSON of each. Nothing for none.
pub(crate) fn write_entries<W: Write>(entries: &[RulesEntry], writer: &mut W) -> IoResult<()> {
    entries.iter().try_for_each(|entry| writer.write_all(entry.canonical().as_bytes()))
}

fn is_odd(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_u64(),
        Value::Array(items) => items.iter().any(is_odd),
        Value::Object(fields) => fields.values().any(is_odd),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Replaces what `changes` names. Fails with the path of a key that does not exist.
fn merge(figures: &mut Map<String, Value>, changes: &Map<String, Value>, above: &str) -> Result<(), String> {
    for (key, change) in changes {
        let path = join(above, key);
        match (figures.get_mut(key), change) {
            (None, _) => return Err(path),
            (Some(Value::Object(below)), Value::Object(change)) => merge(below, change, &path)?,
            (Some(figure), _) => *figure = change.clone(),
        }
    }
    Ok(())
}

fn collect(changes: &Map<String, Value>, above: &str, paths: &mut Vec<String>) {
    for (key, change) in changes {
        let path = join(above, key);
        match change {
            Value::Object(below) => collect(below, &path, paths),
            _ => paths.push(path),
        }
    }
}

fn join(above: &str, key: &str) -> String {
    if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") }
}

fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_sorted(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}
