//! Documents name only paths that exist, so that nobody is sent to a file that was moved.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Tops of the repository that a path in a document can start with.
const TOPS: [&str; 6] = ["node/", "consensus/", "peg/", "genesis/", "testnet/", "docs/"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn documents() -> Vec<PathBuf> {
    let root = repository();
    let mut found = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    let mut folders: Vec<PathBuf> = TOPS.iter().map(|top| root.join(top)).filter(|folder| folder.exists()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "node_modules" && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found
}

/// Words that look like a path of ours: in code spans, and as targets of links.
fn paths(text: &str) -> Vec<String> {
    let separators = |c: char| c.is_whitespace() || "`()[]{}<>\"',;|".contains(c);
    let words = text.split(separators).map(|word| word.trim_end_matches(['.', ':', '/']));
    let ours = words.filter(|word| TOPS.iter().any(|top| word.starts_with(top)) && word.len() > 5);
    ours.filter(|word| !word.contains('*') && !word.contains("://")).map(str::to_owned).collect()
}

#[test]
fn documents_name_only_paths_that_exist() {
    let root = repository();
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let own = document.parent().unwrap();
        for path in paths(&text) {
            let path = path.split('#').next().unwrap();
            if !root.join(path).exists() && !own.join(path).exists() {
                dead.push(format!("{}: {path}", document.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead paths:\n{}", dead.join("\n"));
}

#[test]
fn links_between_documents_resolve() {
    let root = repository();
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            let outside = target.contains("://") || target.is_empty();
            if !outside && !document.parent().unwrap().join(target).exists() {
                dead.push(format!("{}: {target}", document.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn no_document_is_empty() {
    for document in documents() {
        assert!(fs::metadata(&document).unwrap().len() > 100, "{}", document.display());
    }
}
