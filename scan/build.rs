//! Turns the rules in `src/rules/` into static data without their samples: a start of the program shall not parse them.

#[allow(dead_code, unreachable_pub, reason = "parts of it are for the crate and its tests")]
#[path = "src/catalogue.rs"]
mod catalogue;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/rules");
    println!("cargo::rerun-if-changed=src/catalogue.rs");
    let mut files: Vec<PathBuf> =
        fs::read_dir("src/rules")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut code = String::from("pub(crate) static BUILT_IN: &[Written] = &[\n");
    for file in files {
        let parsed: catalogue::Catalogue =
            toml::from_str(&fs::read_to_string(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        for rule in parsed.rules() {
            write_rule(&rule, &mut code)?;
        }
    }
    code.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("built_in.rs"), code)?;
    Ok(())
}

fn write_rule(rule: &catalogue::Written, code: &mut String) -> std::fmt::Result {
    let texts = |texts: &catalogue::Texts| {
        let items: Vec<String> = texts.iter().map(|text| format!("Cow::Borrowed({text:?})")).collect();
        format!("Cow::Borrowed(&[{}])", items.join(", "))
    };
    let reach = rule.reach.map_or("None".to_owned(), |reach| format!("Some({reach:?})"));
    write!(code, "Written {{ id: Cow::Borrowed({:?}), description: Cow::Borrowed({:?}), ", rule.id, rule.description)?;
    write!(code, "keywords: {}, pattern: Cow::Borrowed({:?}), ", texts(&rule.keywords), rule.pattern)?;
    write!(code, "group: {}, entropy: {:?}, certainty: {:?}, ", rule.group, rule.entropy, rule.certainty)?;
    let setting = rule.setting.map_or("None".to_owned(), |kind| format!("Some(Kind::{kind:?})"));
    write!(code, "reach: {reach}, setting: {setting}, assigned: {}, ", rule.assigned)?;
    write!(code, "check: Check::{:?}, only: {}, ", rule.check, texts(&rule.only))?;
    write!(code, "tags: {}, ", texts(&rule.tags))?;
    writeln!(code, "positive: Vec::new(), negative: Vec::new() }},")
}
