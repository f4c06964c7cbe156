//! The files of this crate import each other in one direction: no circle, so that each can be read with what is below it alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Every source file but `lib.rs` by its module path, `a` or `modules::b`.
fn sources() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |folder: PathBuf, above: &str| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        let named = rust.map(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let name = if stem == "mod" { above.trim_end_matches("::").to_owned() } else { format!("{above}{stem}") };
            (name, fs::read_to_string(path).unwrap())
        });
        named.collect::<Vec<_>>()
    };
    let all = read(src.clone(), "").into_iter().chain(read(src.join("modules"), "modules::"));
    all.filter(|(name, _)| name != "lib").collect()
}

/// First names after each `root::`, also in braces: `crate::{a::B, c}` names `a` and `c`.
fn names_after(text: &str, root: &str) -> BTreeSet<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in text.split(root).skip(1) {
        let Some(braced) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in braced.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(word(&item));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(c);
        }
        names.insert(word(&item));
    }
    names
}

/// What each file imports of this crate. Comments do not count.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let known: BTreeSet<String> = sources.keys().cloned().collect();
    let code = |text: &str| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let of = |(name, text): (&String, &String)| {
        let text = code(text);
        let mut found = names_after(&text, "crate::");
        if let Some((folder, _)) = name.split_once("::") {
            found.extend(names_after(&text, "super::").into_iter().map(|below| format!("{folder}::{below}")));
        } else if text.contains("\nmod ") {
            let below =
                text.lines().filter_map(|line| line.trim_end_matches(';').split_once("mod ")).map(|(_, below)| below);
            found.extend(below.map(|below| format!("{name}::{below}")));
        }
        (name.clone(), found.intersection(&known).cloned().collect())
    };
    sources.iter().map(of).collect()
}

#[test]
fn files_form_no_circle() {
    let mut imports = imports();
    assert!(imports.len() > 30 && imports["executor"].contains("run"), "{imports:?}");
    assert!(imports["modules"].contains("modules::peg") && imports["modules::peg"].contains("modules::meter"));
    // Takes away what imports nothing that is left, until nothing can be taken.
    loop {
        let free: Vec<String> = imports.iter().filter(|(_, of)| of.is_empty()).map(|(name, _)| name.clone()).collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            imports.remove(&name);
            imports.values_mut().for_each(|of| _ = of.remove(&name));
        }
    }
    assert!(imports.is_empty(), "these import each other: {imports:#?}");
}
