//! Messages that are JSON and no JSON-RPC request: `{}`, `5`, `[1]`.
//!
//! geth answers each with -32600 "invalid request" and the message's id, or a null id if it has none. The JSON-RPC library
//! answers some with -32700, refuses others with an HTTP status, and takes a call with an id that it cannot read for a
//! notification. So, before the library decodes a message, this file replaces such a message by a call of the method with the
//! empty name. [`rpc_middleware`](super::rpc_middleware) answers that call.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::args::split_array;

/// `message` with every invalid request replaced. `None` if there is none, and if the library refuses the whole message: it is
/// not JSON, or a batch of more than `max_batch`.
pub(crate) fn replace_invalid(message: &[u8], max_batch: usize) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(message).ok()?.trim_matches([' ', '\t', '\n', '\r']);
    if !text.starts_with('[') {
        return invalid_id(text).map(|id| invalid_call(id).into_bytes());
    }
    let parts = split_array(text, max_batch).ok()?;
    let ids: Vec<_> = parts.iter().map(|part| invalid_id(part.get())).collect();
    if ids.iter().all(Option::is_none) {
        return None;
    }
    let replaced: Vec<_> =
        parts.iter().zip(ids).map(|(part, id)| id.map_or_else(|| part.get().to_owned(), invalid_call)).collect();
    Some(format!("[{}]", replaced.join(",")).into_bytes())
}

fn invalid_call(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":""}}"#)
}

/// The members that decide whether an object is a request. A member with the value `null` is present.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The id for the refusal of a JSON text that is no request. `None` for requests, notifications, and text that is not JSON.
fn invalid_id(text: &str) -> Option<&str> {
    // Without this check an array of the members' values would pass for an object.
    let members = text.starts_with('{').then(|| serde_json::from_str::<Members<'_>>(text).ok()).flatten();
    let Some(members) = members else {
        return serde_json::from_str::<&RawValue>(text).is_ok().then_some("null");
    };
    let string = |member: Option<&RawValue>| serde_json::from_str::<String>(member?.get()).ok();
    let id = members.id.map(RawValue::get);
    let is_id_readable = id.is_none_or(is_readable_id);
    let is_request = string(members.jsonrpc).is_some_and(|version| version == "2.0")
        && string(members.method).is_some_and(|name| !name.is_empty())
        && is_id_readable;
    (!is_request).then(|| id.filter(|_| is_id_readable).unwrap_or("null"))
}

/// Whether the library can read the id: null, a string, or an integer from 0 to 2^64 - 1. geth accepts all numbers and booleans.
fn is_readable_id(id: &str) -> bool {
    id == "null" || id.starts_with('"') || id.parse::<u64>().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    const NOTIFICATION: &str = r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#;

    fn replaced(message: &str) -> Option<String> {
        replace_invalid(message.as_bytes(), 3).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn requests_and_notifications_are_left_alone() {
        let with_string_id = r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{}}"#;
        let with_null_id = r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#;
        for one in [CALL, NOTIFICATION, with_string_id, with_null_id] {
            assert_eq!(replaced(one), None, "{one}");
            assert_eq!(replaced(&format!(" [{one}, {one}]\n")), None, "{one}");
        }
    }

    #[test]
    fn what_is_json_and_no_request_keeps_its_id_or_gets_null() {
        for (message, id) in [
            ("{}", "null"),
            ("null", "null"),
            ("5", "null"),
            ("\"x\"", "null"),
            ("[\"2.0\",1,\"x\"]", "null"),
            (r#"{"id":1}"#, "1"),
            (r#"{"jsonrpc":"2.0"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, "\"a\""),
            (r#"{"jsonrpc":"2.1","id":1,"method":"x"}"#, "1"),
            (r#"{"jsonrpc":2.0,"id":1,"method":"x"}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":-1,"method":"x"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#, "null"),
        ] {
            if !message.starts_with('[') {
                assert_eq!(replaced(message), Some(invalid_call(id)), "{message}");
            }
            let expected = format!("[{CALL},{}]", invalid_call(id));
            assert_eq!(replaced(&format!("[{CALL},{message}]")), Some(expected), "{message}");
        }
    }

    #[test]
    fn what_is_not_json_and_batches_beyond_the_limit_are_left_to_the_library() {
        for message in ["", "{", "{}x", "[1", "'f", "[1,2,3,4]"] {
            assert_eq!(replaced(message), None, "{message}");
        }
        assert_eq!(replace_invalid(b"\"\xff\"", 3), None);
        assert!(replaced("[1,2,3]").is_some());
        assert_eq!(replaced("[]"), None);
    }
}
